"""Request targets as segments and parameters."""

from __future__ import annotations

import pytest

from meadowlark.errors import Code, Refused
from meadowlark.wire.targets import PARAMETERS_MAX, Target, parse_target


def test_segments_are_cut_then_decoded() -> None:
    assert parse_target("/a/b%20c/%C3%BC/d.json").segments == ("a", "b c", "ü", "d.json")
    assert parse_target("/a%2Fb/c.json").segments == ("a/b", "c.json")
    assert parse_target("/a+b.json").segments == ("a+b.json",)


def test_empty_segments_fall_away() -> None:
    assert parse_target("//a///b/").segments == ("a", "b")
    assert parse_target("/").segments == ()


def test_parameters_are_decoded_and_the_last_of_a_name_counts() -> None:
    assert parse_target("/.json?ns=a&ns=b&print=&x=%22%24key%22&y=1+2").parameters == {
        "ns": "b", "print": "", "x": '"$key"', "y": "1 2",
    }  # fmt: skip


def test_a_whole_url_brings_its_host() -> None:
    assert parse_target("http://rooms.example.com:80/a.json?x=1") == Target(("a.json",), {"x": "1"}, "rooms.example.com:80")
    assert parse_target("HTTP://h") == Target((), {}, "h")


@pytest.mark.parametrize(
    "text", ["/%ff.json", "/a%C3.json", "*", "a.json", "ftp://h/a", "/a?x=%ff", "/?" + "a=1&" * (PARAMETERS_MAX + 1)]
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(Refused) as raised:
        parse_target(text)
    assert raised.value.code in (Code.INVALID_PATH, Code.INVALID_REQUEST)


def test_parameters_are_bounded() -> None:
    names = "&".join(f"p{number}=" for number in range(PARAMETERS_MAX))
    assert len(parse_target("/?" + names).parameters) == PARAMETERS_MAX
