"""Whether a client that listens has already what it would be sent: it says so by a hash.

When in doubt it is sent, so this is strict, unlike a transaction's check.
Source: docs/protocol.md "Hashes".
"""

from __future__ import annotations

from meadowlark.tree import Node, node_count_up_to, node_hash

HASHED_NODES_MAX = 20_000
"""A listen on a larger value is answered with the value whatever hash the client has: hashing it would take longer (about
2 µs a node) than anyone else on this core should wait."""


def has_already(node: Node | None, hash: str | None) -> bool:
    """Whether a client that sent `hash` need not be sent `node`."""
    if node is None or not hash:
        return node is None and hash == ""
    return hash_if_small(node) == hash


def hash_if_small(node: Node) -> str:
    """The hash of `node`; one that no client sends if it is large."""
    return node_hash(node) if node_count_up_to(node, HASHED_NODES_MAX) <= HASHED_NODES_MAX else "?"
