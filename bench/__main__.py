"""`python -m bench [QUESTION …]`: all questions, in the order in which a result is most often wanted.

`python -m bench report` measures nothing and writes what was measured into docs/performance.md.
"""

from __future__ import annotations

import sys

from bench import (
    chat,
    churn,
    crowd,
    flood,
    growth,
    hot_room,
    idle,
    memory,
    neighbour,
    pauses,
    peers,
    presence,
    report,
    rooms,
    ruled,
    storm,
    volatile,
    windows,
)
from bench.harness import main
from bench.script import bench_of

BENCHES = [
    rooms.BENCH,
    hot_room.BENCH,
    chat.BENCH,
    ruled.BENCH,
    windows.BENCH,
    crowd.BENCH,
    peers.BENCH,
    storm.BENCH,
    volatile.BENCH,
    neighbour.BENCH,
    flood.BENCH,
    presence.BENCH,
    growth.BENCH,
    idle.BENCH,
    churn.BENCH,
    pauses.BENCH,
    memory.BENCH,
    bench_of("journal", "How long does a durable append take?", "a loop busy with other things, other programs that sync."),
    bench_of("session", "What does one message cost in the session machine?", "sockets, the engine, cold caches, waiting."),
    bench_of("queries", "What do a write, a listen and a read cost under 1,000 queries?", "other work in between, cold caches."),
    bench_of(
        "path", "What does one write cost between the socket's read and its writes?", "the kernel, the loop, picows, a disk."
    ),
    bench_of(
        "lifetimes",
        "Does anything stay of half a million connections, while five million nodes are in memory?",
        "sockets, picows, a disk.",
    ),
    bench_of(
        "rules",
        "How fast are the rules of ten apps decided, and how long do they take to compile?",
        "values read, the tree, sockets.",
    ),
    bench_of("pages", "What does one record of a packed map cost?", "sockets, other work in between."),
    bench_of("tree", "What does one write, hash, encode and import cost?", "caches that something else has emptied."),
]

if sys.argv[1:] == ["report"]:
    report.write([bench.name for bench in BENCHES])
else:
    main(BENCHES)
