"""Messages of large values: encoded once, when needed, as the value was; nothing stays frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson

from meadowlark.engine import Database, Open
from meadowlark.server.hosted import Hosted
from meadowlark.server.large_messages import LargeMessage
from meadowlark.server.slicer import Slicer
from meadowlark.tree import Tree
from meadowlark.wire import encode_get_slices
from tests.wire.exchange import read_messages


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), 60)

    asyncio.run(bounded())


def make(tree: Tree) -> LargeMessage:
    hosted = Hosted(Database("demo", Open(), tree))
    return LargeMessage(Slicer(), hosted, tree.root, encode_get_slices(7, tree.root))


def test_it_is_made_once_for_all_and_says_what_stood_there() -> None:
    async def scenario() -> None:
        tree = Tree({f"k{number}": {"n": number} for number in range(5_000)})
        large = make(tree)
        tree.set(("k1", "n"), "changed")
        told: list[int] = []
        large.begin(lambda: told.append(1))
        large.begin(lambda: told.append(2))
        while len(told) < 2:
            await asyncio.sleep(0)
        assert told == [1, 2]
        assert large.parts is not None
        [message] = read_messages(b"".join(large.parts))
        assert orjson.loads(message)["d"]["b"]["d"]["k1"] == {"n": 1}
        assert tree._frozen_count == 0

    run(scenario)


def test_one_that_nobody_is_sent_freezes_nothing_any_more() -> None:
    async def scenario() -> None:
        tree = Tree({"a": {"b": 1}})
        large = make(tree)
        assert tree._frozen_count == 1
        del large
        assert tree._frozen_count == 0

    run(scenario)
