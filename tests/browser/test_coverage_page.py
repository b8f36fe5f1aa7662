"""The page of coverage as a browser shows it: every rule with its counts, what lacks something, values under the pointer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Server, fresh_name

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

RULES = r"""{
  "rules": {
    "notes": {
      "$user": {
        ".read": "auth.uid === $user || auth.token.admin === true",
        ".write": "auth != null && newData.val() !== '<b>&amp;'"
      }
    },
    "never": {".read": false}
  }
}"""


def test_the_page_shows_what_was_asked_and_marks_what_was_not(browser: Any, server: Server) -> None:
    ns = fresh_name("covered")
    assert server.rest("PUT", "/.settings/rules", ns=ns, raw=RULES.encode()).status == 200
    for who, method, expected in (("anna", "GET", 200), ("anna", "GET", 200), ("bert", "GET", 401), ("anna", "PUT", 200)):
        answer = server.rest(
            method,
            "/notes/anna",
            "<i>" if method == "PUT" else None,
            ns=ns,
            query=f"auth_variable_override=%7B%22uid%22:%22{who}%22%7D",
        )
        assert answer.status == expected, answer
    page = browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{server.url}/.inspect/coverage?ns={ns}")
    assert page.title() == f"Rules of {ns}: coverage"
    assert page.locator("h1").inner_text() == f"Rules of {ns}"
    rows = [row.locator("td").all_inner_texts() for row in page.locator("table tr").all()[1:]]
    assert rows == [
        ["5:18", ".read", "/notes/$user", "2", "1", "0", "auth.uid === $user || auth.token.admin === true"],
        ["6:19", ".write", "/notes/$user", "1", "0", "0", "auth != null && newData.val() !== '<b>&amp;'"],
        ["9:24", ".read", "/never", "0", "0", "0", "false"],
    ]
    lacking = [(row.get_attribute("title"), row.locator("td").nth(1).inner_text()) for row in page.locator("tr.lacks").all()]
    assert lacking == [("never false", ".write"), ("never asked", ".read")]
    colour = "getComputedStyle(document.querySelector('tr.lacks')).backgroundColor"
    assert page.evaluate(colour) not in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"), "what lacks something can be seen"
    spans = {span.inner_text(): span.get_attribute("title") for span in page.locator("code span").all()}
    assert spans["auth.uid"] == '2 times "anna"\n1 times "bert"'
    assert spans["newData.val()"] == '1 times "<i>"'
    assert spans["auth.token.admin === true"] == "never true"
    assert page.locator("code span.lacks").all_inner_texts() == ["auth.token.admin === true"]
    assert page.locator("i, b, script").count() == 0, "what users wrote is text"
    page.locator("code span", has_text="auth.uid").first.hover()
    hovered = "getComputedStyle(document.querySelector('code span:hover')).backgroundColor"
    assert page.evaluate(hovered) == "rgb(255, 238, 153)"
    assert complaints == []
    page.close()


def test_without_rules_the_page_says_so(browser: Any, server: Server) -> None:
    page = browser.new_page()
    page.goto(f"{server.url}/.inspect/coverage?ns={fresh_name('unruled')}")
    assert "This database has no rules" in page.locator("body").inner_text()
    page.close()
