"""The floor under a figure: the same load on a relay in C, on the same core, in the same run.

The relay (relay.c) reads no JSON, keeps nothing, checks nothing and tells of nothing but what it is sent: what it needs is what
the kernel and the machine take for so many messages, and nobody who delivers them one by one is faster. Where the floor misses
a bar, so will every server on that machine.
"""

from __future__ import annotations

import dataclasses

from bench.generator import Load
from bench.harness import Measured, split_cores, watched_run
from bench.peer import PEERS, PeerServer

FLOOR = next(peer for peer in PEERS if peer.name == "relay in C")


def on_floor(load: Load, runs: int) -> Measured:
    """`harness.under_load`, for the relay."""
    reports = []
    for _ in range(runs):
        with PeerServer(FLOOR, split_cores()[0]) as server:
            spoken = dataclasses.replace(load, dialect=FLOOR.dialect)
            reports.append(watched_run(spoken, server.target(), server.usage))
    return Measured(load, reports)
