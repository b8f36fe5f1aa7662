"""Databases for users' tests, on a real server: fresh, asked as somebody, and with assertions that say which rule decided."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meadowlark.testing import ADMIN, NOBODY, Database, DevServer, Unanswered, User, credential_of

RULES = """{
  "rules": {
    "rooms": {"$room": {
      ".read": "auth != null && data.child('members').hasChild(auth.uid)",
      "name": {
        ".write": "auth.token.editor === true",
        ".validate": "newData.isString()"
      }
    }},
    "scores": {".read": "query.limitToFirst <= 10"}
  }
}
"""


@pytest.fixture
def ruled(meadowlark_database: Database) -> Database:
    meadowlark_database.rules(RULES)
    meadowlark_database.set("/rooms/7/members/anna", True)
    return meadowlark_database


def test_a_database_is_named_after_its_test_and_empty(meadowlark_database, meadowlark_server):
    assert meadowlark_database.name.startswith("test-a-database-is-named-after-its-test-and-empty")
    assert meadowlark_database.url == f"{meadowlark_server.url}?ns={meadowlark_database.name}"
    assert meadowlark_database.get() is None


def test_databases_of_one_server_do_not_see_each_other(meadowlark_server: DevServer):
    with meadowlark_server.database("a b/c") as first, meadowlark_server.database("a b/c") as second:
        assert first.name.startswith("a-b-c-")
        first.set("/x", 1)
        first.rules({".read": False})
        assert second.get() is None
        assert second.get(who=NOBODY) is None


@pytest.mark.parametrize("topic", ["", "-", "é", "x" * 100, "test[a:b]"])
def test_every_topic_gives_a_name_that_can_be(meadowlark_server: DevServer, topic: str):
    with meadowlark_server.database(topic) as database:
        database.set("/x", 1)
        assert database.get("x") == 1


def test_values_go_in_and_come_back(meadowlark_database):
    meadowlark_database.set("/a/ü b", {"x": 1, "y": 2})
    meadowlark_database.update("/a", {"ü b/x": None, "c": True})
    key = meadowlark_database.push("/list", "one")
    assert meadowlark_database.get() == {"a": {"ü b": {"y": 2}, "c": True}, "list": {key: "one"}}
    assert meadowlark_database.get("/a", shallow="true") == {"ü b": True, "c": True}
    meadowlark_database.set("/a", None)
    assert meadowlark_database.get("/a") is None


def test_an_answer_shows_whatever_came(meadowlark_database):
    answer = meadowlark_database.rest("GET", "/n", headers={"X-Firebase-ETag": "true"})
    assert (answer.status, answer.json(), answer.headers["ETag"]) == (200, None, "null_etag")
    assert not meadowlark_database.rest("PUT", "/a", {"b#": 1}).is_ok


def test_clearing_leaves_the_rules(ruled):
    ruled.clear()
    assert ruled.get() is None
    with pytest.raises(Unanswered, match="Permission denied"):
        ruled.get("/rooms/7", who="anna")


def test_a_client_is_who_it_was_asked_to_be(ruled):
    anna = ruled.client(who=User("anna", editor=True))
    anna.ref("rooms/7/name").set("Seven")
    assert anna.ref("rooms/7").get().value == {"members": {"anna": True}, "name": "Seven"}
    assert ruled.client().ref("rooms/7/name").get().value == "Seven"


def test_a_credential_is_for_clients_of_ones_own(ruled):
    headers = {"Authorization": f"Bearer {credential_of('anna')}"}
    assert ruled.rest("GET", "/rooms/7", who=NOBODY, headers=headers).is_ok
    assert credential_of(NOBODY) is None


# Rules


def test_rules_may_be_text_a_file_or_an_object(meadowlark_database, tmp_path: Path):
    file = tmp_path / "rules.json"
    file.write_text('{"rules": {"a": {".read": true}}}')
    for rules in (file, file.read_text(), json.loads(file.read_text()), {"a": {".read": True}}):
        meadowlark_database.rules({})
        meadowlark_database.assert_denied("read", "/a", who=NOBODY)
        meadowlark_database.rules(rules)
        meadowlark_database.assert_allowed("read", "/a", who=NOBODY)


def test_rules_with_faults_are_refused_with_their_places(meadowlark_database):
    with pytest.raises(Unanswered, match=r"1:\d+: Unknown variable 'nobody'"):
        meadowlark_database.rules('{"rules": {".read": "nobody == 1"}}')


def test_what_is_as_expected_passes(ruled):
    ruled.assert_allowed("read", "/rooms/7", who="anna")
    ruled.assert_denied("read", "/rooms/7", who="bert")
    ruled.assert_denied("read", "/rooms/7", who=NOBODY)
    ruled.assert_allowed("read", "/rooms/8", who=ADMIN)
    ruled.assert_allowed("set", "/rooms/7/name", "x", who=User("anna", editor=True))
    ruled.assert_denied("set", "/rooms/7/name", 5, who=User("anna", editor=True))
    ruled.assert_denied("set", "/rooms/7/name", "x", who="anna")
    ruled.assert_denied("update", "/rooms/7", {"name": "x", "topic": "y"}, who=User("anna", editor=True))
    ruled.assert_allowed("read", "/scores", who=NOBODY, query={"l": 10, "vf": "l"})
    ruled.assert_denied("read", "/scores", who=NOBODY)
    assert ruled.get("/rooms/7/name") is None, "an assertion changes nothing"


def test_a_failure_names_the_rule_its_line_and_what_it_saw(ruled):
    with pytest.raises(AssertionError) as failed:
        ruled.assert_allowed("read", "/rooms/7", who="bert")
    text = str(failed.value)
    assert text.startswith("read /rooms/7 as 'bert' is denied, expected was allowed\ndecided by: ")
    assert "line 4: .read at /rooms/7 is false: auth != null && " in text
    assert 'auth.uid = "bert"' in text

    with pytest.raises(AssertionError, match=r"\.validate at /rooms/7/name \(line 7, column \d+\) is false"):
        ruled.assert_allowed("set", "/rooms/7/name", 5, who=User("anna", editor=True))
    with pytest.raises(AssertionError, match=r"as 'anna', editor=True is allowed, expected was denied\n.*line 6"):
        ruled.assert_denied("set", "/rooms/7/name", "x", who=User("anna", editor=True))
    with pytest.raises(AssertionError, match=r"as an administrator is allowed.*\n.*never asked about an administrator"):
        ruled.assert_denied("read", "/", who=ADMIN)


def test_assertions_and_requests_agree(ruled):
    """What is asserted about somebody is what their token may do."""
    for who in (NOBODY, "anna", "bert", User("bert", editor=True)):
        reading, writing = ruled.rest("GET", "/rooms/7", who=who), ruled.rest("PUT", "/rooms/7/name", "x", who=who)
        (ruled.assert_allowed if reading.is_ok else ruled.assert_denied)("read", "/rooms/7", who=who)
        (ruled.assert_allowed if writing.is_ok else ruled.assert_denied)("set", "/rooms/7/name", "x", who=who)


def test_a_question_that_is_none_is_refused(ruled):
    with pytest.raises(Unanswered, match="/a#b"):
        ruled.assert_denied("set", "/a#b", 1, who=NOBODY)
