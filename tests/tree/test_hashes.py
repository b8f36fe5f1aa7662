"""Node hashes, against those that the official SDK computed and against its known mistake."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha1
from typing import Any

import pytest

from meadowlark.tree import Node, from_json, matches, node_count_up_to, node_hash
from tests.tree.vectors import HASHES, NEGATIVE_ZERO_HASH, VECTORS


def node_of(raw: Any) -> Node | None:
    return from_json(raw)[0]


@pytest.mark.parametrize("entry", HASHES, ids=lambda entry: json.dumps(entry["json"])[:40])
def test_a_hash_is_the_one_that_the_official_sdk_computes(entry: dict[str, Any]) -> None:
    assert node_hash(node_of(entry["json"])) == entry["hash"]
    assert matches(node_of(entry["json"]), entry["hash"])


def test_negative_zero_is_the_one_vector_left_out() -> None:
    assert len(VECTORS["hashes"]) - len(HASHES) == 1
    assert node_hash(0) != NEGATIVE_ZERO_HASH


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (1, "YPVfR2bXt/lcDjiQZ8pOkAd3qkQ="),
        (True, "E5z61QM0lN/U2WsOnusszCTkR8M="),
        ({"a": 1}, "gIphxiFGusLh2VwSNVKSvNu90m4="),
        ({".value": "v", ".priority": 10}, "tBptLayRCbZ2IoT6ZtrY/dV3pBg="),
    ],
)
def test_hashes_that_the_protocol_description_gives(raw: Any, expected: str) -> None:
    assert node_hash(node_of(raw)) == expected


def test_nothing_hashes_to_the_empty_text() -> None:
    assert node_hash(None) == ""
    assert matches(None, "")
    assert not matches(None, "YPVfR2bXt/lcDjiQZ8pOkAd3qkQ=")
    assert not matches(1, "")


def test_true_and_one_have_different_hashes() -> None:
    assert node_hash({"a": True}) != node_hash({"a": 1})
    assert node_hash({"a": "1"}) != node_hash({"a": 1})


def test_the_order_in_memory_does_not_matter() -> None:
    one = {"b": 1, "a": 2, "10": 3, "9": {".value": 4, ".priority": 5}}
    assert node_hash(one) == node_hash(dict(reversed(one.items())))


def test_a_priority_changes_the_hash_of_its_node_and_of_the_parent() -> None:
    bare, high = {"a": {"x": 1}}, {"a": {"x": 1, ".priority": 1}}
    assert node_hash(bare) != node_hash(high)
    assert node_hash(bare["a"]) != node_hash(high["a"])


@pytest.mark.parametrize(
    ("number", "hexadecimal"),
    [
        (2**53 - 1, "4340000000000000"),
        (2**48 - 1, "42fffffffffffff0"),
        (1, "3ff0000000000000"),
        (0.1, "3fb999999999999a"),
        (-2.5, "c004000000000000"),
        (8, "4020000000000000"),
    ],
)
def test_the_hash_with_the_javascript_exponent_is_accepted_too(number: float, hexadecimal: str) -> None:
    """A leaf text with the hex that a JavaScript client writes, hashed here by hand."""
    written = b64encode(sha1(b"number:" + hexadecimal.encode()).digest()).decode()
    assert matches(number, written)


def test_a_number_that_is_one_off_never_matches() -> None:
    assert not matches(2**53 - 1, node_hash(2**53 - 2))
    assert not matches(1, node_hash(2))


@pytest.mark.parametrize("number", [5e-324, 2.2250738585072014e-308, 2.3e-308, 1.7976931348623157e308, -1e-310])
def test_the_smallest_and_the_largest_numbers_can_be_hashed_both_ways(number: float) -> None:
    assert matches(number, node_hash(number))
    assert not matches(number, "nonsense")


def test_nodes_are_counted_as_far_as_asked() -> None:
    node = node_of({"a": 1, "b": {"c": 2, "d": {".value": 3, ".priority": 4}}, ".priority": 5})
    assert node_count_up_to(node, 100) == 5
    assert node_count_up_to(node, 5) == 5
    assert node_count_up_to(node, 2) == 3
    assert node_count_up_to(7, 100) == 1
    assert node_count_up_to(None, 100) == 0
    assert node_count_up_to({str(index): index for index in range(1000)}, 10) == 1001
