"""Who is due when, beside a naive list of the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meadowlark.server.expiries import Expiries


def test_each_is_due_once_when_its_second_has_passed():
    expiries: Expiries[str] = Expiries()
    expiries.plan("a", 10.2)
    expiries.plan("b", 11.0)
    expiries.plan("c", 500.0)
    assert expiries.take_due(10.9) == []
    assert sorted(expiries.take_due(11.0)) == ["a", "b"]
    assert expiries.take_due(499.0) == []
    assert expiries.take_due(1e9) == ["c"]
    assert len(expiries) == 0


def test_a_later_end_takes_the_place_of_an_earlier_one_and_none_of_any():
    expiries: Expiries[str] = Expiries()
    expiries.plan("a", 10.0)
    expiries.plan("a", 20.0)
    assert expiries.take_due(19.0) == []
    expiries.plan("a", None)
    assert expiries.take_due(1e9) == []


def test_whoever_closed_leaves_nothing_behind():
    expiries: Expiries[int] = Expiries()
    for who in range(10_000):
        expiries.plan(who, float(who))
        expiries.forget(who)
    expiries.forget(-1)
    assert (len(expiries), len(expiries._due)) == (0, 0)
    assert len(expiries._seconds) < 50


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("plan"), st.integers(0, 5), st.none() | st.floats(0, 30)),
        st.tuples(st.just("forget"), st.integers(0, 5), st.none()),
        st.tuples(st.just("take"), st.integers(0, 30), st.none()),
    )
)


@given(STEPS)
def test_it_is_a_list_of_who_is_due(steps):
    expiries: Expiries[int] = Expiries()
    model: dict[int, float] = {}
    for kind, who, at in steps:
        if kind == "plan":
            expiries.plan(who, at)
            model.pop(who, None)
            if at is not None:
                model[who] = at
        elif kind == "forget":
            expiries.forget(who)
            model.pop(who, None)
        else:
            due = expiries.take_due(who)
            assert sorted(due) == sorted(each for each, planned in model.items() if planned <= who)
            for each in due:
                del model[each]
    assert len(expiries) == len(model)
