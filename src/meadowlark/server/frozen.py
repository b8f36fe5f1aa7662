"""Encoding that goes on while the tree changes: slices of a value as it was when they were asked for."""

from __future__ import annotations

from collections.abc import Iterator

from meadowlark.tree import Tree


class FrozenSlices:
    """Slices of a value in `tree`, which stays as it is until they have all been taken or nobody wants them any more."""

    __slots__ = ("_slices", "_tree")

    def __init__(self, tree: Tree, slices: Iterator[bytes]) -> None:
        self._tree: Tree | None = tree
        self._slices = slices
        tree.freeze()

    def __iter__(self) -> FrozenSlices:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._slices)
        except StopIteration:
            self.close()
            raise

    def close(self) -> None:
        if self._tree is not None:
            self._tree.thaw()
            self._tree = None
            self._slices = iter(())

    def __del__(self) -> None:
        # A client may go before its answer is sent, and a write's answer is dropped when the journal fails.
        self.close()
