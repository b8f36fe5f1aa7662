"""Random rules, trees and operations: the compiled language decides as the naive one does."""

from __future__ import annotations

import copy
import json
from itertools import product
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings

from meadowlark.engine.values import update_paths
from meadowlark.errors import Refused
from meadowlark.rules import Coverage, RulesInvalid, Writing, decide_slices, may_read, may_write, parse_rules, place_slices
from meadowlark.rules.members import QUERY, SNAPSHOT, STRING
from meadowlark.rules.syntax import LEVELS, Chain, List, Member, Regex, Ternary, Unary, Variable, all_parts, parse_expression
from meadowlark.tree import Tree, find, from_json, resolve
from tests.rules import naive

NOW = 1_700_000_000_000
KEYS = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(KEYS, max_size=3).map(tuple)
LEAVES = st.sampled_from([1, 0, -2.5, True, False, "", "a", "ab", "B", "😀", NOW])
VALUES = st.recursive(
    st.one_of(LEAVES, LEAVES.map(lambda leaf: {".value": leaf, ".priority": 1}), st.just({".sv": "timestamp"})),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
AUTHS = st.sampled_from(
    [None, {}, {"uid": "a"}, {"uid": "b", "token": {"admin": True, "age": 5, "names": ["a"], "deep": {"x": "ab", "0": 1}}}]
)

PATH_TEXTS = st.one_of(
    st.sampled_from(["'a'", "'b'", "'c'", "'a/b'", "'/c/'", "''", "'a.b'", "'.priority'"]),
    st.sampled_from(["$x", "$y", "auth.uid", "auth.token.deep.x", "data.val()", "newData.val()", "'a/' + auth.uid"]),
)
BASES = st.sampled_from(["data", "newData", "root"])
CONDITIONS = st.sampled_from(["auth == null", "query.orderByKey", "auth.uid.contains('a')", "data.val() > 0"])
"""Of `?:`; the last two fail for many."""
SOUGHT = st.sampled_from(
    ["query.orderByChild", "query.startAt", "query.endAt", "query.equalTo", "query.limitToFirst", "query['limitToLast']"]
)
PATTERNS = st.sampled_from(
    [
        "/^[ab]+$/i", "/a/", "/^a|b$/", "/^.$/", "/^..$/", "/[^ab]/", "/^(a|ab)*b?$/", "/^a{1,2}$/", r"/^\w{2,}$/", r"/\d/",
        r"/\W|\s/", r"/^[\w-]+@[a-z.]+$/", "/^$/",
    ]
)  # fmt: skip
"""A search and whole texts, classes and their opposites, alternatives, counts, groups, what is half an emoji."""


def chosen(head: Any, *more: Any) -> Any:
    return st.one_of(head, *more)


SNAPSHOTS = st.recursive(
    BASES,
    lambda inner: chosen(
        st.tuples(inner, PATH_TEXTS).map(lambda made: f"{made[0]}.child({made[1]})"),
        inner.map(lambda made: f"{made}.parent()"),
        st.tuples(CONDITIONS, inner, inner).map(lambda made: f"({made[0]} ? {made[1]} : {made[2]})"),
    ),
    max_leaves=4,
)
PRIMITIVES = chosen(
    SNAPSHOTS.map(lambda made: f"{made}.val()"),
    SNAPSHOTS.map(lambda made: f"{made}.val()"),
    SNAPSHOTS.map(lambda made: f"{made}.getPriority()"),
    st.sampled_from(["auth", "auth.uid", "auth.token", "auth.token.age", "auth.token['names'][0]", "auth.token.deep.x"]),
    st.sampled_from(["now", "$x", "$y", "1", "0", "2.5", "'a'", "'ab'", "''", "'b'"]),
    st.sampled_from(["auth.token['names']['0']", "auth.token['names']['00']", "auth.token.deep[0]", "auth.token.deep['0']"]),
    st.tuples(CONDITIONS, chosen(SNAPSHOTS, st.just("query")), st.sampled_from(["1", "'a'", "null", "auth.uid"])).map(
        lambda made: f"({made[0]} ? {made[1]} : {made[2]})"
    ),
    SOUGHT,
    st.tuples(CONDITIONS, st.sampled_from(["startAt", "limitToFirst", "orderByValue"])).map(
        lambda made: f"({made[0]} ? query : query).{made[1]}"
    ),
)
STRINGS = st.recursive(
    chosen(
        SNAPSHOTS.map(lambda made: f"{made}.val()"),
        st.sampled_from(["$x", "'abc'", "('a' + 1)", "auth.uid", "query.orderByChild", "query.startAt", "'😀B'"]),
        st.tuples(PRIMITIVES, PRIMITIVES).map(lambda made: f"({made[0]} + {made[1]})"),
    ),
    lambda inner: chosen(
        st.tuples(inner, st.sampled_from(["toLowerCase", "toUpperCase"])).map(lambda made: f"{made[0]}.{made[1]}()"),
        st.tuples(inner, PRIMITIVES, PRIMITIVES).map(lambda made: f"{made[0]}.replace({made[1]}, {made[2]})"),
    ),
    max_leaves=2,
)
NUMBERS = st.recursive(
    chosen(PRIMITIVES, STRINGS.map(lambda made: f"{made}.length")),
    lambda inner: chosen(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "%"]), inner).map(lambda made: f"({' '.join(made)})"),
        inner.map(lambda made: f"-{made}" if not made.startswith("-") else f"-({made})"),
    ),
    max_leaves=3,
)
CASED = st.tuples(STRINGS, st.sampled_from(["toLowerCase()", "toUpperCase()", "replace('a', 'B')"])).map(".".join)
TESTS = chosen(
    SNAPSHOTS.flatmap(
        lambda made: st.sampled_from(["exists", "hasChildren", "isNumber", "isString", "isBoolean"]).map(
            lambda name: f"{made}.{name}()"
        )
    ),
    st.tuples(SNAPSHOTS, PATH_TEXTS).map(lambda made: f"{made[0]}.hasChild({made[1]})"),
    st.tuples(SNAPSHOTS, PATH_TEXTS, PATH_TEXTS).map(lambda made: f"{made[0]}.hasChildren([{made[1]}, {made[2]}])"),
    st.tuples(
        chosen(PRIMITIVES, PRIMITIVES, PRIMITIVES.map(lambda made: f"-{made}"), CASED),
        st.sampled_from(["==", "!=", "===", "!=="]),
        chosen(PRIMITIVES, st.sampled_from(["null", "true", "-1"])),
    ).map(" ".join),
    st.tuples(NUMBERS, st.sampled_from(["<", ">", "<=", ">="]), NUMBERS).map(" ".join),
    st.tuples(STRINGS, st.sampled_from(["contains", "beginsWith", "endsWith"]), PRIMITIVES).map(
        lambda made: f"{made[0]}.{made[1]}({made[2]})"
    ),
    st.tuples(chosen(STRINGS, PRIMITIVES), PATTERNS).map(lambda made: f"{made[0]}.matches({made[1]})"),
    STRINGS.map(lambda made: f"{made}.toUpperCase().replace('A', 'x') == 'xB'"),
    STRINGS.map(lambda made: f"{made}.length <= 2"),
    st.sampled_from(["query.orderByKey", "query.orderByPriority", "query['orderByValue']", "query.orderByChild == $x"]),
    st.sampled_from(["query.limitToFirst <= 2", "query.limitToLast === 2", "query.equalTo == auth.uid", "query.endAt >= 'a'"]),
    st.sampled_from(["true", "false", "auth != null", "auth.token.admin === true"]),
)
EXPRESSIONS = st.recursive(
    TESTS,
    lambda inner: chosen(
        st.tuples(inner, inner).map(lambda made: f"({made[0]} && {made[1]})"),
        st.tuples(inner, inner, inner).map(lambda made: f"({' || '.join(made)})"),
        inner.map(lambda made: f"!({made})"),
        st.tuples(inner, inner, inner).map(lambda made: f"({made[0]} ? {made[1]} : {made[2]})"),
    ),
    max_leaves=4,
)
RULES = st.one_of(st.just(True), EXPRESSIONS, EXPRESSIONS)
BOUNDS = st.one_of(st.none(), st.sampled_from([1, -2.5, True, "", "a", "ab"]))
LIMITS = st.sampled_from([{}, {"limitToFirst": 2}, {"limitToFirst": 3}, {"limitToLast": 2}])
QUERIES = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from([{"orderBy" + order: True} for order in ("Key", "Priority", "Value")] + [{"orderByChild": "a"}]),
        st.one_of(st.fixed_dictionaries({"equalTo": BOUNDS}), st.fixed_dictionaries({"startAt": BOUNDS, "endAt": BOUNDS})),
        LIMITS,
    ).map(lambda made: naive.NOTHING_ASKED | {"orderByKey": False} | made[0] | made[1] | made[2]),
)
"""As rules see them, `orderByKey` false unless it is asked for."""


def levels(captures: tuple[str, ...], kinds: tuple[str, ...]) -> Any:
    """A place of a tree of rules, with two levels of places below."""
    own = st.fixed_dictionaries({}, optional=dict.fromkeys(kinds, RULES))
    if len(captures) == 2:
        return own
    name = "$x" if not captures else "$y"
    below = levels((*captures, name), kinds)
    return st.tuples(own, st.dictionaries(st.sampled_from(["a", "b", name]), below, max_size=3)).map(
        lambda made: made[0] | made[1]
    )


def without_captures(rules: Any, bound: tuple[str, ...] = ()) -> Any:
    """Names that are not bound where they stand become a text, so that nearly every rule is accepted."""
    if not isinstance(rules, dict):
        for name in ("$x", "$y"):
            if isinstance(rules, str) and name not in bound:
                rules = rules.replace(name, "'a'")
        return rules
    return {key: without_captures(inner, (*bound, key) if key.startswith("$") else bound) for key, inner in rules.items()}


def parsed(rules: Any) -> Any:
    try:
        return parse_rules(json.dumps({"rules": rules}))
    except RulesInvalid as invalid:
        event(f"refused: {invalid.faults[0].message[:30]}")
        return None


def decided_in_slices(rules: Any, auth: Any, writes: Any, root: Any) -> bool:
    """As large writes are decided."""
    steps = decide_slices(rules, Writing(auth, writes, root, NOW), lambda: root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("meadowlark.rules.decide.SLICE_STEPS", 1)
        while True:
            try:
                next(steps)
            except StopIteration as stopped:
                return bool(stopped.value)


def words_of(text: str) -> set[str]:
    """What of the language is in an expression."""
    found: set[str] = set()
    for part in all_parts(parse_expression(text)):
        if isinstance(part, Variable):
            found.add(part.name)
        elif isinstance(part, Member):
            found.add("[ ]" if part.name is None else part.name)
        elif isinstance(part, Unary):
            found.add(f"unary {part.operator}")
        elif isinstance(part, Chain):
            found.update(part.operators)
        elif isinstance(part, Ternary | Regex | List):
            found.add(type(part).__name__)
    return found


def test_there_is_no_word_of_the_language_that_is_not_generated() -> None:
    found: set[str] = set()

    @settings(max_examples=600, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
    @given(EXPRESSIONS)
    def look(text: str) -> None:
        found.update(words_of(text))

    look()
    variables = {"auth", "now", "root", "data", "newData", "query", "$x", "$y"}
    others = {"unary !", "unary -", "Ternary", "Regex", "List"}
    assert {*SNAPSHOT, *STRING, *QUERY, *variables, *others}.union(*LEVELS) - found == set()


many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@many
@given(levels((), (".read",)).map(without_captures), AUTHS, PATHS, VALUES, QUERIES)
def test_reading_is_decided_alike(rules, auth, path, value, query):
    text = json.loads(json.dumps(rules).replace("newData", "data"))
    compiled = parsed(text)
    if compiled is None:
        return
    root = resolve(from_json(value)[0], None, NOW)
    verdict = may_read(compiled, auth, path, root, NOW, query)
    event(f"allowed: {verdict}")
    assert verdict is naive.may_read(text, auth, path, root, NOW, query)
    assert verdict is Coverage(compiled).decide_read(auth, path, root, NOW, query)


@many
@given(
    levels((), (".write", ".validate")).map(without_captures),
    AUTHS,
    st.one_of(
        st.dictionaries(PATHS.map("/".join), st.one_of(st.none(), VALUES), min_size=1, max_size=3),
        PATHS.map(lambda path: {"/".join((*path, ".priority")): 1}),
    ),
    VALUES,
)
def test_writing_is_decided_alike(rules, auth, changes, value):
    compiled = parsed(rules)
    if compiled is None:
        return
    root = resolve(from_json(value)[0], None, NOW)
    try:
        paths = [()] if "" in changes else update_paths((), changes)
    except Refused:
        return
    writes = []
    for path, written in zip(paths, changes.values(), strict=False):
        node = written if path[-1:] == (".priority",) else resolve(from_json(written, len(path))[0], find(root, path), NOW)
        writes.append((path, node))
    before = repr(root)
    verdict = may_write(compiled, auth, writes, root, NOW)
    event(f"allowed: {verdict}")
    assert verdict is naive.may_write(rules, auth, writes, root, NOW)
    assert verdict is Coverage(compiled).decide_write(auth, writes, root, NOW)
    assert verdict is decided_in_slices(compiled, auth, writes, root)
    assert repr(root) == before
    places = set().union(*place_slices(compiled, writes))
    for place, other in product(places_around(places), (None, "b", {"c": 5})):
        tree = Tree(copy.deepcopy(root))
        tree.set(place, other)
        event("something that is not looked at has changed")
        assert verdict is may_write(compiled, auth, writes, tree.root, NOW), (place, other)


def places_around(places: set[Any]) -> list[Any]:
    """Some that are neither above nor below any of `places`."""
    found = [("a",), ("b",), ("a", "a"), ("a", "b"), ("b", "b"), ("c", "a"), ("a", "b", "c")]
    return [one for one in found if not any(one[: len(place)] == place or place[: len(one)] == one for place in places)]
