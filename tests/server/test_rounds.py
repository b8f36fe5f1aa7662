"""Everyone once a round, and no call with all the work."""

from __future__ import annotations

import pytest

from meadowlark.server.rounds import Round


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 23, 1000])
def test_each_member_comes_once_a_round_in_equal_shares(count: int) -> None:
    round_of: Round[int] = Round(set(range(count)), 5)
    for _ in range(3):
        shares = [round_of.next() for _ in range(5)]
        assert sorted(member for share in shares for member in share) == list(range(count))
        assert max(map(len, shares)) == -(-count // 5)


def test_who_comes_meanwhile_is_in_the_next_round() -> None:
    members = {1, 2}
    round_of = Round(members, 2)
    first = round_of.next()
    members.add(3)
    first += round_of.next()
    assert sorted(first) == [1, 2]
    assert sorted(round_of.next() + round_of.next()) == [1, 2, 3]
