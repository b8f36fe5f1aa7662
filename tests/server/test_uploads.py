"""Large requests on their way in: whose room it is, and who makes room for others."""

from __future__ import annotations

import pytest

from meadowlark.errors import Refused
from meadowlark.limits import BODY_BYTES_MAX, LARGE_WRITES_BYTES_MAX, LARGE_WRITES_DATABASE_BYTES_MAX
from meadowlark.server.uploads import SLOW_BYTES_A_SECOND, Upload, Uploads

SIZE = BODY_BYTES_MAX


class Ends:
    """Uploads of a worker, by name; those that were ended for others' sake are in `ended`."""

    def __init__(self) -> None:
        self.uploads = Uploads()
        self.ended: list[str] = []
        self.now = 1000.0
        self.uploads.sweep(self.now)

    def begin(self, name: str, database: str, size: int = SIZE) -> Upload:
        upload = Upload(self.uploads, database, lambda refused: self.ended.append(name))
        upload.grow(size, 0)
        return upload

    def pass_seconds(self, count: int, speeds: dict[Upload, int]) -> None:
        came = dict.fromkeys(speeds, 0)
        for _ in range(count):
            self.now += 1
            for upload, speed in speeds.items():
                came[upload] += speed
                upload.grow(upload.held_bytes, came[upload])
            self.uploads.sweep(self.now)


def test_room_is_kept_once_and_given_back() -> None:
    made = Ends()
    upload = made.begin("a", "db", 1000)
    upload.grow(1000, 500)
    upload.grow(1500, 1500)
    assert made.uploads.held_bytes == 1500
    upload.close()
    upload.close()
    assert made.uploads.held_bytes == 0


def test_one_database_leaves_room_for_others() -> None:
    made = Ends()
    for number in range(LARGE_WRITES_DATABASE_BYTES_MAX // SIZE):
        made.begin(str(number), "greedy")
    with pytest.raises(Refused, match="the database is busy with large writes"):
        made.begin("more", "greedy")
    made.begin("other", "other")
    assert made.ended == []


def test_what_is_prepared_counts_too() -> None:
    made = Ends()
    made.uploads.count("a", LARGE_WRITES_DATABASE_BYTES_MAX)
    made.uploads.count("b", LARGE_WRITES_DATABASE_BYTES_MAX - 100)
    made.begin("c", "c", 100)
    with pytest.raises(Refused, match="the server is busy with large writes"):
        made.begin("d", "d", 1)
    made.uploads.count("a", -LARGE_WRITES_DATABASE_BYTES_MAX)
    made.begin("d", "d", 1)


def test_the_slowest_make_room_for_who_comes() -> None:
    made = Ends()
    names = [(f"{database}{number}", database) for number in range(2) for database in ("a", "b")]
    speeds = {made.begin(name, database): 10_000 * (place + 1) for place, (name, database) in enumerate(names)}
    assert made.uploads.held_bytes == LARGE_WRITES_BYTES_MAX
    made.pass_seconds(3, speeds)
    made.begin("c0", "c")
    assert made.ended == ["a0"]
    made.begin("b2", "b")
    assert made.ended == ["a0", "b0"], "of its own database, however slow others are"
    assert made.uploads.held_bytes == LARGE_WRITES_BYTES_MAX


def test_whoever_comes_quickly_or_just_now_is_not_ended_for_another() -> None:
    made = Ends()
    speeds = {made.begin("quick", "a"): 2 * SLOW_BYTES_A_SECOND, made.begin("slow", "a"): 1000}
    made.pass_seconds(1, speeds)
    with pytest.raises(Refused):
        made.begin("another", "a")
    assert made.ended == [], "nobody knows yet how fast they come"
    made.pass_seconds(20, speeds)
    made.begin("another", "a")
    with pytest.raises(Refused):
        made.begin("yet another", "a")
    assert made.ended == ["slow"]


def test_a_quick_beginning_does_not_count_for_long() -> None:
    made = Ends()
    upload = made.begin("a", "a")
    made.pass_seconds(1, {upload: SIZE - 1})
    assert not upload.is_slow
    made.pass_seconds(10, {upload: 0})
    assert upload.is_slow


def test_nobody_is_ended_where_it_would_not_be_enough() -> None:
    made = Ends()
    slow, quick = made.begin("slow", "a", 1000), made.begin("quick", "a")
    made.begin("rest", "a", LARGE_WRITES_DATABASE_BYTES_MAX - SIZE - 1000)
    made.pass_seconds(20, {slow: 0, quick: 10 * SLOW_BYTES_A_SECOND})
    rest = LARGE_WRITES_DATABASE_BYTES_MAX - SIZE - 1000
    with pytest.raises(Refused):
        made.begin("too much", "a", rest + 1001)
    assert made.ended == []


def test_who_was_ended_holds_nothing_and_is_told_once() -> None:
    made = Ends()
    upload = made.begin("a", "a", 1000)
    upload.end()
    upload.end()
    upload.close()
    assert (made.ended, made.uploads.held_bytes) == (["a"], 0)
