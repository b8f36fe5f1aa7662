"""Queries as clients write them, on the socket and in REST: one canonical value, or a refusal that says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from meadowlark.errors import Code, Refused
from meadowlark.query import Query, index_missing, parse_parameters, parse_query


def query(**spec: Any) -> Query:
    parsed = parse_query(spec)
    assert parsed is not None
    return parsed


def test_nothing_asked_is_no_query():
    assert parse_query(None) is None
    assert parse_query({}) is None
    assert parse_query({"i": ".priority"}) is None
    assert parse_parameters({"print": "pretty"}) is None
    assert parse_parameters({"orderBy": '"$priority"'}) is None


def test_an_order_alone_filters_nothing():
    assert not query(i="age").filters
    assert query(i="age", sp=None).filters
    assert query(l=1, vf="l").filters


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"i": "a/b", "sp": 1}, {"i": "/a//b", "sp": 1.0, "sin": True}),
        ({"l": 2, "vf": "r"}, {"l": 2}),
        ({"l": 2, "vf": "l", "sp": 1}, {"l": 2, "sp": 1}),
        ({"i": ".priority", "sp": None}, {"sp": None, "sn": None}),
    ],
)
def test_what_asks_the_same_is_equal(one: dict, other: dict):
    assert query(**one) == query(**other)
    assert len({query(**one), query(**other)}) == 1
    assert query(**other).spec == other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"sp": 1}, {"sp": True}),
        ({"sp": 1}, {"sp": "1"}),
        ({"sp": 1}, {"ep": 1}),
        ({"sp": 1}, {"sp": 1, "sin": False}),
        ({"sp": 1}, {"sp": 1, "i": "a"}),
        ({"l": 1, "vf": "l"}, {"l": 1, "vf": "r"}),
        ({"sp": 1, "sn": "a"}, {"sp": 1, "sn": "b"}),
    ],
)
def test_what_asks_something_else_is_not(one: dict, other: dict):
    assert query(**one) != query(**other)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"x": 1}, "unknown member 'x'"),
        ({"i": 5}, "the name of an order in 'i'"),
        ({"l": 0}, "a whole number above 0"),
        ({"l": 1.5}, "a whole number above 0"),
        ({"l": True}, "a whole number above 0"),
        ({"l": 1, "vf": "x"}, "'l' or 'r' in 'vf'"),
        ({"sp": {}}, "as a bound"),
        ({"sp": [1]}, "as a bound"),
        ({"sn": "a"}, "a value in 'sp'"),
        ({"sp": 1, "sn": 2}, "a key in 'sn'"),
        ({"ep": 1, "ein": "yes"}, "true or false in 'ein'"),
        ({"i": ".key", "sp": 1}, "expected a key"),
        ({"i": ".key", "sp": "a", "sn": "b"}, "no second key"),
        ({"i": "a/.priority"}, "as the order"),
        ({"i": "/"}, "as the order"),
    ],
)
def test_a_malformed_query_is_refused_by_what_was_expected(spec: dict, told: str):
    with pytest.raises(Refused, match="wrong form") as refused:
        parse_query(spec)
    assert told in refused.value.text


def test_an_order_that_is_no_path_is_refused():
    with pytest.raises(Refused) as refused:
        parse_query({"i": "a#b"})
    assert refused.value.code is Code.INVALID_PATH


@pytest.mark.parametrize(
    ("parameters", "spec"),
    [
        ({"orderBy": '"$key"'}, {"i": ".key"}),
        ({"orderBy": '"$value"', "startAt": "3"}, {"i": ".value", "sp": 3}),
        ({"orderBy": '"a/b"', "equalTo": '"x","k"'}, {"i": "a/b", "sp": "x", "sn": "k", "ep": "x", "en": "k"}),
        ({"orderBy": '"a"', "startAfter": "1"}, {"i": "a", "sp": 1, "sn": "[MAX_NAME]", "sin": False}),
        ({"orderBy": '"a"', "endBefore": "1"}, {"i": "a", "ep": 1, "en": "[MIN_NAME]", "ein": False}),
        ({"orderBy": '"$key"', "endBefore": '"m"'}, {"i": ".key", "ep": "m", "ein": False}),
        ({"orderBy": '"$priority"', "limitToLast": "2"}, {"l": 2, "vf": "r"}),
        ({"orderBy": '"a"', "limitToFirst": "2"}, {"i": "a", "l": 2, "vf": "l"}),
    ],
)
def test_rest_says_the_same_in_its_own_words(parameters: dict, spec: dict):
    assert parse_parameters(parameters) == parse_query(spec)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"limitToFirst": "1"}, "orderBy must be defined when other query parameters are defined"),
        ({"orderBy": "name"}, "orderBy must be a valid JSON encoded path"),
        ({"orderBy": '"a#"'}, "orderBy must be a valid JSON encoded path"),
        ({"orderBy": '"a"', "limitToFirst": "0"}, "limitToFirst must be a whole number above 0"),
        ({"orderBy": '"a"', "limitToFirst": "1", "limitToLast": "1"}, "cannot be combined"),
        ({"orderBy": '"a"', "startAt": "1", "equalTo": "1"}, "startAt and equalTo cannot be combined"),
        ({"orderBy": '"a"', "startAt": "x"}, "startAt must be a JSON"),
        ({"orderBy": '"a"', "startAt": "1,2"}, "startAt must be a JSON"),
        ({"orderBy": '"$key"', "startAt": "1"}, "expected a key"),
    ],
)
def test_rest_refusals(parameters: dict, told: str):
    with pytest.raises(Refused) as refused:
        parse_parameters(parameters)
    assert told in refused.value.text
    assert refused.value.code is Code.INVALID_REQUEST


def test_a_range_without_an_order_where_that_is_allowed():
    assert parse_parameters({"limitToFirst": "1"}, default_order=".key") == parse_query({"i": ".key", "l": 1, "vf": "l"})


def test_which_index_a_query_needs():
    assert [query(i=order, l=1).index for order in (".key", ".priority", ".value", "a/b")] == ["", "", ".value", "a/b"]
    refused = index_missing(("users", "7"), query(i="age"))
    assert refused.text == 'Index not defined, add ".indexOn": "age", for path "/users/7", to the rules'
    assert refused.http_status == 400
