"""Encoding that goes on while the tree changes: slices of a value, or a reply with one, as it was when they were asked for.

The value is let go with them; if it was replaced meanwhile nobody else has it then, and freeing it is for the graveyard.
"""

from __future__ import annotations

from collections.abc import Iterator

from meadowlark.engine import Reply
from meadowlark.server.hosted import Hosted
from meadowlark.tree import Node


class FrozenSlices:
    """`slices` of `node` in the tree of `hosted`, which stays as it is until they have all been taken or nobody wants them any
    more."""

    __slots__ = ("_hosted", "_node", "_slices")

    def __init__(self, hosted: Hosted, node: Node | None, slices: Iterator[bytes]) -> None:
        self._hosted: Hosted | None = hosted
        self._node = node
        self._slices = slices
        hosted.database.tree.freeze()

    def __iter__(self) -> FrozenSlices:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._slices)
        except StopIteration:
            self.close()
            raise

    def close(self) -> None:
        hosted, self._hosted = self._hosted, None
        if hosted is not None:
            hosted.database.tree.thaw()
            self._slices = iter(())
            node, self._node = self._node, None
            hosted.bury(node)

    def __del__(self) -> None:
        # A client may go before its answer is sent, and a write's answer is dropped when the journal fails.
        self.close()


class FrozenReply:
    """`reply` with its value, which stays as it is until `close`."""

    __slots__ = ("_hosted", "reply")

    def __init__(self, hosted: Hosted, reply: Reply) -> None:
        self._hosted: Hosted | None = hosted
        self.reply = reply
        hosted.database.tree.freeze()

    def close(self) -> None:
        hosted, self._hosted = self._hosted, None
        if hosted is not None:
            hosted.database.tree.thaw()
            node, self.reply.value = self.reply.value, None
            hosted.bury(node)

    def __del__(self) -> None:
        # The client may be gone before its answer is sent.
        self.close()
