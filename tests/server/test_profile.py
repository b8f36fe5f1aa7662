"""Operations by path, ids taken together."""

from __future__ import annotations

from itertools import permutations
from random import Random
from typing import Any

from meadowlark.server.profile import LINES_MAX, PLACES_MAX, SIBLINGS_MAX, WILDCARD, Profile, _walk


def recorded(*paths: str, operation: str = "set") -> Profile:
    profile = Profile()
    for path in paths:
        profile.record(tuple(path.split("/")[1:]), operation, written_bytes=10, sent_bytes=100, nanoseconds=1_000_000)
    return profile


def counts(profile: Profile) -> dict[str, int]:
    return {line["path"]: sum(line["operations"].values()) for line in profile.report()}


def test_a_line_has_operations_bytes_and_time() -> None:
    profile = recorded("/a/b", "/a/b")
    profile.record(("a", "b"), "get", written_bytes=0, sent_bytes=7, nanoseconds=500_000)
    assert profile.report() == [
        {"path": "/a/b", "operations": {"set": 2, "get": 1}, "written_bytes": 20, "sent_bytes": 207, "milliseconds": 2.5}
    ]


def test_what_took_longest_comes_first() -> None:
    profile = recorded("/short", "/long", "/long")
    assert list(counts(profile)) == ["/long", "/short"]


def test_the_root_is_a_path_and_nothing_is_an_empty_report() -> None:
    profile = Profile()
    assert profile.report() == []
    profile.record((), "get", written_bytes=0, sent_bytes=0, nanoseconds=0)
    assert counts(profile) == {"/": 1}


def test_few_siblings_keep_their_names_and_many_become_a_wildcard() -> None:
    few = [f"/rooms/{number}/name" for number in range(SIBLINGS_MAX - 1)]
    assert len(counts(recorded(*few))) == SIBLINGS_MAX - 1
    assert counts(recorded(*few, "/rooms/new/name")) == {f"/rooms/{WILDCARD}/name": SIBLINGS_MAX}
    assert counts(recorded(*few, "/rooms/new/name", "/rooms/0/name", "/people/ada")) == {
        f"/rooms/{WILDCARD}/name": SIBLINGS_MAX + 1,
        "/people/ada": 1,
    }


def test_what_was_below_siblings_is_merged_and_may_become_a_wildcard_itself() -> None:
    rooms = [f"/rooms/{number}/messages/{number}" for number in range(SIBLINGS_MAX)]
    assert counts(recorded(*rooms)) == {f"/rooms/{WILDCARD}/messages/{WILDCARD}": SIBLINGS_MAX}
    crowded = [f"/rooms/one/messages/{number}" for number in range(SIBLINGS_MAX)]
    assert counts(recorded(*crowded, *(f"/rooms/{number}/messages/x" for number in range(SIBLINGS_MAX)))) == {
        f"/rooms/{WILDCARD}/messages/{WILDCARD}": 2 * SIBLINGS_MAX
    }


def test_the_order_of_operations_does_not_matter() -> None:
    parts: list[Any] = [
        [f"/r/{number}/a/{number % 3}" for number in range(30)],
        [f"/r/x/a/{number}" for number in range(40)],
        ["/r/x", "/r/1/a", "/s"],
    ]
    results = [counts(recorded(*(path for part in order for path in part))) for order in permutations(parts)]
    shuffled = [path for part in parts for path in part]
    Random(1).shuffle(shuffled)
    assert all(result == counts(recorded(*shuffled)) for result in results)


def test_any_number_of_paths_takes_bounded_memory_and_none_is_lost() -> None:
    random, profile = Random(2), Profile()
    for _ in range(40_000):
        path = tuple(str(random.randrange(SIBLINGS_MAX - 1)) for _ in range(8))
        profile.record(path, "set", written_bytes=1, sent_bytes=0, nanoseconds=1)
    assert profile._place_count <= PLACES_MAX
    assert len(profile.report()) <= LINES_MAX
    assert sum(place.written_bytes for _, place in _walk(profile._root, ())) == 40_000
