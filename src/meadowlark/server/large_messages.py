"""A message of a large value, made beside everyone else's work and once for all who hear it.

The value is frozen from when the message was due, so it says what stood there then, until the message is made (`begin`).
Does not know: clients, what the message says.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from meadowlark.server.hosted import Hosted
from meadowlark.server.slicer import Slicer, Steps
from meadowlark.tree import Node

Making = Generator[None, None, list[bytes]]
"""Gives the frames of a message, in parts; yields after each millisecond or so."""


class LargeMessage:
    """What an outbox's `put_large` takes."""

    __slots__ = ("_hosted", "_is_begun", "_making", "_node", "_slicer", "_waiting", "parts")

    def __init__(self, slicer: Slicer, hosted: Hosted, node: Node, making: Making) -> None:
        """making: encodes `node`, of the tree of `hosted`."""
        self._slicer = slicer
        self._hosted: Hosted | None = hosted
        self._node: Node | None = node
        self._making = making
        self._is_begun = False
        self._waiting: list[Callable[[], None]] = []
        self.parts: list[bytes] | None = None
        hosted.database.tree.freeze()

    def __del__(self) -> None:
        self._let_go()  # The client may go before it can be sent anything.

    def begin(self, ready: Callable[[], None]) -> None:
        self._waiting.append(ready)
        if not self._is_begun:
            self._is_begun = True
            self._slicer.begin(self._make())

    def _make(self) -> Steps:
        self.parts = yield from self._making
        self._let_go()
        waiting, self._waiting = self._waiting, []
        for ready in waiting:
            ready()

    def _let_go(self) -> None:
        hosted, self._hosted = self._hosted, None
        if hosted is not None:
            self._making.close()
            hosted.database.tree.thaw()
            node, self._node = self._node, None
            hosted.bury(node)
