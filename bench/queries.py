"""What do a write, a listen and a read cost under 1,000 queries?

One place of 100,000 children with 1,000 different limited queries open on it, in the engine alone: no rules, journal or
sockets, but with the frames that would be sent. Small things are timed one by one in processor time, and given as p50, p99 and
max in microseconds; large things in milliseconds.

    python -m bench.queries

What it does not show: other work in between, which a large index lets in while it is made; caches that something else emptied.
"""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from bench.harness import Row
from bench.script import show
from meadowlark.auth.identity import NOBODY
from meadowlark.engine import Client, Database, Declared, Get, Listen, Open, Push, Set, Unlisten, Work
from meadowlark.query import Index, Query, parse_query
from meadowlark.tree import Tree, children, from_json
from meadowlark.wire import encode_push

CHILDREN = 100_000
QUERIES = 1_000
ROUNDS = 2_000
PLACE = ("posts",)

ROWS: list[Row] = []


class Everything:
    """All indexes are declared."""

    def find(self, path: tuple[str, ...], query: Query) -> bool:
        return True


def main() -> None:
    gc.disable()  # As in a worker.
    database, rng = make_database(), random.Random(1)
    clients = [Client(f"s{number}", NOBODY) for number in range(QUERIES)]
    queries = [query(sp=number * 100, l=20, vf="l") for number in range(QUERIES)]

    measured: dict[int, float] = {}

    def open_all() -> None:
        for tag, (client, asked) in enumerate(zip(clients, queries, strict=True)):
            started_at = time.process_time_ns()
            do(database, Listen(client, 1, PLACE, "", asked, tag))
            measured[tag] = (time.process_time_ns() - started_at) / 1000

    measure_memory(database)
    do(database, Listen(Client("first", NOBODY), 1, PLACE, "", query(l=20, vf="r"), 1))
    large("make an index of all, in slices", lambda: first_listen(database, "n2"))
    open_all()
    add("first listen to a further query of that order", sorted(measured.values())[50:])
    small("write a field that no query orders by: in one window", lambda turn: write(database, rng, "text", "x"))
    small("write what all queries order by, anywhere", lambda turn: write(database, rng, "n", rng.randrange(CHILDREN)))
    small("add a child", lambda turn: put(database, f"new{turn}", {"n": rng.randrange(CHILDREN), "text": "hello"}))
    small("remove it", lambda turn: put(database, f"new{turn}", None))
    small("get of twenty, the index being there", lambda turn: do(database, Get(clients[0], 1, PLACE, queries[turn % QUERIES])))
    again = Client("again", NOBODY)

    def listen_again(turn: int) -> None:
        asked = queries[turn % QUERIES]
        do(database, Listen(again, 1, PLACE, "", asked, 7))
        do(database, Unlisten(again, 2, PLACE, asked, 7))

    small("listen to what others listen to, and unlisten", listen_again)
    show(__doc__, ROWS)


def make_database() -> Database:
    rng = random.Random(2)
    order = list(range(CHILDREN))
    rng.shuffle(order)
    posts = {f"-N{number:017d}": {"n": n, "n2": n, "text": "hello", "by": "ada"} for number, n in enumerate(order)}
    declared: Declared = Everything()
    return Database("bench", Open(), Tree(from_json({"posts": posts})[0]), indexes=declared)


def query(**spec: Any) -> Query:
    made = parse_query({"i": "n", **spec})
    assert made is not None
    return made


def first_listen(database: Database, order: str) -> None:
    asked = parse_query({"i": order, "l": 20, "vf": "l"})
    client = Client("once", NOBODY)
    do(database, Listen(client, 1, PLACE, "", asked, 1))
    do(database, Unlisten(client, 1, PLACE, asked, 1))


def write(database: Database, rng: random.Random, field: str, value: Any) -> None:
    do(database, Set(WRITER, 1, (*PLACE, f"-N{rng.randrange(CHILDREN):017d}", field), value))


def put(database: Database, key: str, value: Any) -> None:
    do(database, Set(WRITER, 1, (*PLACE, key), value))


WRITER = Client("writer", NOBODY)


def do(database: Database, command: Any) -> None:
    """Carries `command` out as the rim would, all steps at once."""
    out: list[Any] = []
    database.apply(command, 1_700_000_000_000, out)
    for effect in out:
        if type(effect) is Push:
            encode_push(effect)
        elif type(effect) is Work:
            for _ in effect.steps:
                pass
            if effect.then is not None:
                do(database, effect.then)


def small(what: str, call: Callable[[int], object]) -> None:
    for turn in range(100):
        call(turn)
    times = []
    for turn in range(ROUNDS):
        started_at = time.process_time_ns()
        call(turn)
        times.append((time.process_time_ns() - started_at) / 1000)
    add(what, times)


def add(what: str, times: list[float]) -> None:
    times.sort()
    p50, p99, most = (round(times[int(len(times) * part)], 1) for part in (0.5, 0.99, 0.9999))
    ROWS.append({"what": what, "unit": "µs", "p50": p50, "p99": p99, "max": most})


def large(what: str, call: Callable[[], object]) -> None:
    started_at = time.process_time_ns()
    call()
    ROWS.append({"what": what, "unit": "ms", "p50": round((time.process_time_ns() - started_at) / 1e6), "p99": "", "max": ""})


def measure_memory(database: Database) -> None:
    tracemalloc.start()
    index = Index("n", ("n",), children(database.tree.get(PLACE)))
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    ROWS.append({"what": "memory of an index", "unit": "bytes a child", "p50": round(size / len(index)), "p99": "", "max": ""})


if __name__ == "__main__":
    main()
