"""Who listens where: a trie of paths, so that a write finds exactly those it concerns.

A write at a path concerns the listeners on the way down to it and at it (they all get the same bytes) and those below it
(each place gets its own value). The trie holds no empty branches.
Does not know: values, permissions, how anyone is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from meadowlark.engine.client import Client
from meadowlark.tree import Path

if TYPE_CHECKING:
    from meadowlark.engine.views import Ordering


class Spot:
    """One place in the trie. `clients` listen exactly here, in the order they came."""

    __slots__ = ("children", "clients", "orderings")

    def __init__(self) -> None:
        self.clients: dict[Client, None] = {}
        self.children: dict[str, Spot] = {}
        self.orderings: dict[str, Ordering] | None = None
        """By order, for the queries of this place (queries.py)."""


class Listeners:
    """All listens of one database."""

    __slots__ = ("root",)

    def __init__(self) -> None:
        self.root = Spot()

    def add(self, path: Path, client: Client) -> None:
        self.open(path).clients[client] = None

    def remove(self, path: Path, client: Client) -> None:
        """Forgets one listen, if it is there, and the branches that it leaves empty."""
        spot = self.find(path)
        if spot is not None:
            spot.clients.pop(client, None)
            self.prune(path)

    def find(self, path: Path) -> Spot | None:
        return spot_at(self.root, path)

    def open(self, path: Path) -> Spot:
        """The spot at `path`, made if there is none; something must be put there."""
        spot = self.root
        for key in path:
            child = spot.children.get(key)
            if child is None:
                child = spot.children[key] = Spot()
            spot = child
        return spot

    def prune(self, path: Path) -> None:
        """Forgets the spots on the way to `path`, which is there, that have nothing any more."""
        way = [self.root]
        for key in path:
            way.append(way[-1].children[key])
        for depth in range(len(path), 0, -1):
            spot = way[depth]
            if spot.clients or spot.children or spot.orderings:
                return
            del way[depth - 1].children[path[depth - 1]]

    def reaching(self, path: Path) -> tuple[Collection[Client], Spot | None]:
        """The clients that listen at `path` or above it, each once, and the spot at `path` if anyone is there or below.

        The collection may be the live one of a spot: it is valid until the next change of listeners.
        """
        spot: Spot | None = self.root
        found: dict[Client, None] | None = None
        owned = False
        for key in (*path, None):
            assert spot is not None
            if spot.clients:
                if found is None:
                    found = spot.clients
                elif owned:
                    found.update(spot.clients)
                else:
                    found, owned = {**found, **spot.clients}, True
            spot = spot.children.get(key) if key is not None else spot
            if spot is None:
                break
        return found or (), spot

    def between(self, start: Spot, relative: Path) -> Iterator[tuple[int, Spot]]:
        """Spots with clients strictly below `start` on the way to `relative`, the end included: (depth below start, spot)."""
        spot = start
        for depth, key in enumerate(relative, 1):
            child = spot.children.get(key)
            if child is None:
                return
            if child.clients:
                yield depth, child
            spot = child

    def all(self) -> Iterator[tuple[Path, Spot]]:
        """Every spot with clients or orderings."""
        if self.root.clients or self.root.orderings is not None:
            yield (), self.root
        yield from self.below(self.root)

    def below(self, start: Spot | None) -> Iterator[tuple[Path, Spot]]:
        """Spots with clients or orderings strictly below `start`: (path relative to start, spot)."""
        if start is None or not start.children:
            return
        todo: list[tuple[Path, Spot]] = [((), start)]
        while todo:
            path, spot = todo.pop()
            for key, child in spot.children.items():
                if child.clients or child.orderings is not None:
                    yield (*path, key), child
                if child.children:
                    todo.append(((*path, key), child))


def spot_at(start: Spot, relative: Path) -> Spot | None:
    """The spot `relative` below `start`, or None if nobody listens there or below."""
    spot: Spot | None = start
    for key in relative:
        if spot is None:
            return None
        spot = spot.children.get(key)
    return spot
