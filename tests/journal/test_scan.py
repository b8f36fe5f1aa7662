"""What a segment's bytes are judged to be: whole, torn at the end, or damaged."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from meadowlark.journal import segment
from meadowlark.journal.group import encode_group
from meadowlark.journal.record import Names
from meadowlark.journal.scan import salvage, scan_segment
from meadowlark.journal.segment import Header
from tests.journal.scripts import untimed

BODIES = st.lists(st.lists(st.text(max_size=20).map(str.encode), max_size=3), min_size=1, max_size=6)


def build(groups, first_group=1):
    """A segment with one group for each list of bodies, and where each begins; the last is the end."""
    content = segment.encode_header(Header(0, 1, first_group))
    starts = [len(content)]
    for rank, bodies in enumerate(groups):
        records = [("db", number, body, None) for number, body in enumerate(bodies)]
        content += b"".join(encode_group(first_group + rank, len(content), records, Names()).blocks)
        starts.append(len(content))
    return content, starts


def judge(content):
    """(number of good groups, "" | "torn" | "damaged")"""
    findings = scan_segment(content)
    if findings.fault is None:
        return len(findings.groups), ""
    return len(findings.groups), "torn" if findings.fault.intact_after is None else "damaged"


@untimed
@given(BODIES, st.integers(0, 300))
def test_a_whole_segment_with_or_without_room_behind_is_clean(groups, room):
    content, starts = build(groups)
    findings = scan_segment(content + bytes(room))
    assert findings.fault is None
    assert [(one.offset, one.end) for one in findings.groups] == list(pairwise(starts))
    assert findings.end == len(content)


def test_cut_at_every_byte_keeps_the_whole_groups_and_is_torn_in_the_middle_of_one():
    content, starts = build([[b"a"], [b"b", b"c"], []])
    for cut in range(segment.HEADER.size, len(content) + 1):
        whole = sum(start <= cut for start in starts) - 1
        for room in (0, 100):
            assert judge(content[:cut] + bytes(room)) == (whole, "" if cut in starts else "torn"), f"cut at {cut}"


@untimed
@given(BODIES, st.data())
def test_a_last_group_of_which_pieces_are_missing_is_torn(groups, data):
    content, starts = build(groups)
    torn = bytearray(content)
    missing = data.draw(st.lists(st.integers(starts[-2], len(content) - 1), min_size=1))
    for place in missing:
        torn[place] = 0
    expected = (len(groups), "") if torn == content else (len(groups) - 1, "torn" if any(torn[starts[-2] :]) else "")
    assert judge(bytes(torn)) == expected


@untimed
@given(BODIES, st.data())
def test_a_changed_bit_before_an_intact_group_is_damage(groups, data):
    content, starts = build([*groups, []])
    changed = bytearray(content)
    changed[data.draw(st.integers(starts[0], starts[-2] - 1))] ^= 1 << data.draw(st.integers(0, 7))
    good, verdict = judge(bytes(changed))
    assert verdict == "damaged"
    assert good < len(groups)


def test_zeros_before_an_intact_group_are_damage():
    content, starts = build([[b"a"], [b"b"], [b"c"]])
    assert judge(content[: starts[1]] + bytes(starts[2] - starts[1]) + content[starts[2] :]) == (1, "damaged")


def test_a_group_of_another_number_is_damage():
    content, starts = build([[b"a"]])
    stale = b"".join(encode_group(9, len(content), [], Names()).blocks)
    findings = scan_segment(content + stale)
    assert findings.fault is not None
    assert findings.fault.text == "group 9 where group 2 was expected"
    assert findings.fault.intact_after == starts[1]


def test_a_bad_segment_header_is_torn_only_if_no_group_follows():
    content, _ = build([[b"a"]])
    assert judge(b"x" + content[1:]) == (0, "damaged")
    assert judge(b"x" + content[1:30]) == (0, "torn")
    assert judge(b"") == (0, "torn")


@untimed
@given(st.binary(max_size=400))
def test_any_bytes_whatever_are_judged(content):
    scan_segment(content)
    scan_segment(segment.encode_header(Header(0, 1, 1)) + content)
    salvage(content)


def test_salvage_gives_every_intact_group_behind_damage_too():
    content, starts = build([[b"a"], [b"b"], [b"c"], [b"d"]])
    changed = bytearray(content)
    changed[0] ^= 1
    changed[starts[2] - 1] ^= 1
    assert [found.number for found in salvage(bytes(changed))] == [1, 3, 4]
