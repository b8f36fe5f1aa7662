"""Finding the windows that a change may concern; that none is missed, the model shows (tests/engine/test_queries_model.py)."""

from __future__ import annotations

from typing import Any

from meadowlark.query import Index, Query, Sightings, Window, parse_query


def query(**spec: Any) -> Query:
    made = parse_query({"i": ".value", **spec})
    assert made is not None
    return made


def test_only_those_are_found_who_see_a_neighbour_or_nothing_or_all():
    children: dict[str, Any] = {f"k{number}": number * 10 for number in range(20)}
    index = Index(".value", (), children.items())
    queries = {
        "low": query(sp=0, l=3, vf="l"),
        "high": query(sp=100, l=3, vf="l"),
        "none": query(sp=900, l=3, vf="l"),
        "all": query(sp=0),
    }
    sightings: Sightings[str] = Sightings()
    for name, asked in queries.items():
        sightings.add(name, Window(asked, index), index)
    assert sightings.near(index, [index.touch("new", 15)]) == ["none", "all", "low"]
    assert sightings.near(index, [index.touch("k11", 110)]) == ["none", "all", "high"]
    assert sightings.near(index, [index.touch("k6", 65)]) == ["none", "all"]
    sightings.remove("low", ["k0", "k1", "k2"])
    sightings.remove("none", [])
    assert sightings.near(index, [index.touch("new", None)]) == ["all"]
