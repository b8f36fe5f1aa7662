"""Random clients under random rules: no sequence of commands reads or changes what the naive interpreter denies.

The rules are those of tests/rules/test_naive.py, with `newData` kept out of `.read`. Every command is foretold with a tree of
its own: whether it is granted, and what the tree is afterwards.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, assume, event, given, settings

from meadowlark.auth.identity import Identity
from meadowlark.engine import Get, Identify, Leave, Listen, OnDisconnectSet, Ruled, Set, Update
from meadowlark.engine.values import update_paths
from meadowlark.errors import Code, Refused
from meadowlark.tree import Tree, find, from_json, resolve
from tests.engine.asking import NOW, Asking
from tests.rules import naive
from tests.rules.test_naive import AUTHS, PATHS, VALUES, levels, parsed, without_captures

OPERATIONS = st.one_of(
    st.tuples(st.just("set"), PATHS, st.one_of(st.none(), VALUES)),
    st.tuples(st.just("update"), st.just(()), st.dictionaries(PATHS.filter(bool).map("/".join), VALUES, max_size=3)),
    st.tuples(st.just("get"), PATHS, st.none()),
    st.tuples(st.just("listen"), PATHS, st.none()),
    st.tuples(st.just("leave"), PATHS, VALUES),
    st.tuples(st.just("identify"), st.just(()), AUTHS),
)


def readable(rules: Any) -> Any:
    """Like `rules`, with `newData` in no `.read`."""
    if not isinstance(rules, dict):
        return rules
    return {
        key: inner.replace("newData", "data") if key == ".read" and isinstance(inner, str) else readable(inner)
        for key, inner in rules.items()
    }


def foretold(rules: Any, auth: Any, changes: list[tuple[Any, Any]], root: Any) -> tuple[bool, Any]:
    """Whether `changes` are granted, and the tree afterwards."""
    writes = [(path, resolve(from_json(value, len(path))[0], find(root, path), NOW)) for path, value in changes]
    if not naive.may_write(rules, auth, writes, root, NOW):
        return False, root
    tree = Tree(copy.deepcopy(root))
    for path, node in writes:
        tree.set(path, copy.deepcopy(node))
    return True, tree.root


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    levels((), (".read", ".write", ".validate")).map(without_captures).map(readable),
    VALUES,
    st.lists(OPERATIONS, min_size=1, max_size=8),
)
def test_nothing_is_read_or_changed_that_is_denied(rules: Any, value: Any, operations: Any) -> None:
    compiled = parsed(json.loads(json.dumps(rules)))
    assume(compiled is not None)
    told = Asking(Ruled(compiled))
    told.do(Set(told.client("admin", admin=True), 1, (), value))
    client, auth, number = told.client("0"), None, 0
    for kind, path, given_value in operations:
        root = copy.deepcopy(told.database.tree.root)
        client.take()
        granted, after = True, root
        if kind == "identify":
            auth = given_value
            reply = told.do(Identify(client, 1, Identity(auth=auth)))
        elif kind in ("get", "listen"):
            granted = naive.may_read(rules, auth, path, root, NOW)
            reply = told.do(Get(client, 1, path) if kind == "get" else Listen(client, 1, path))
            if not granted:
                assert client.take() == []
        elif kind == "leave":
            granted, _ = foretold(rules, auth, [(path, given_value)], root)
            reply = told.do(OnDisconnectSet(client, 1, path, given_value))
            if granted:
                _, after = foretold(rules, auth, [(path, given_value)], root)
                told.do(Leave(client))
                number += 1
                client, auth = told.client(str(number)), None
        elif kind == "set":
            granted, after = foretold(rules, auth, [(path, given_value)], root)
            reply = told.do(Set(client, 1, path, given_value))
        else:
            try:
                paths = update_paths((), given_value)
            except Refused:
                continue
            granted, after = foretold(rules, auth, list(zip(paths, given_value.values(), strict=True)), root)
            reply = told.do(Update(client, 1, (), given_value))
        assert reply is not None
        event(f"{kind} granted: {granted}")
        assert (reply.refused is None) is granted
        if reply.refused is not None:
            assert reply.refused.code is Code.PERMISSION_DENIED
            assert reply.value is None
        assert repr(told.database.tree.root) == repr(after)
