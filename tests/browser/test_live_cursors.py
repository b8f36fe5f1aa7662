"""The example page in a real browser: two windows see each other through the official SDK and a running server.

The page's folder is served over loopback as its README says; `node_modules` are those of the conformance tests if the example
has none of its own (the same SDK version: a test holds that).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import REMEMBER_STATES, serving
from tests.harness import PROJECT, Server, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EXAMPLE = PROJECT / "examples" / "live-cursors"


@pytest.fixture(scope="module")
def page_url(node: Path) -> Iterator[str]:
    with serving(EXAMPLE, node / "node_modules") as url:
        yield f"{url}/index.html"


def open_page(browser: Any, page_url: str, server: Server, name: str) -> Any:
    """A page in a context of its own (as another person's browser), connected."""
    context = browser.new_context(viewport={"width": 800, "height": 600})
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.goto(f"{page_url}?server=127.0.0.1:{server.port}&name={name}")
    page.wait_for_selector('#status[data-connected="true"]', timeout=60_000)
    return page


def names_on(page: Any) -> list[str]:
    return sorted(page.locator("#people li").all_inner_texts())


def test_two_windows_see_each_other_come_move_mark_and_go(browser: Any, page_url: str, server: Server) -> None:
    ann = open_page(browser, page_url, server, "Ann")
    bob = open_page(browser, page_url, server, "Bob")
    for page in (ann, bob):
        eventually(lambda page=page: names_on(page) == ["Ann", "Bob"], what="both in the room")

    # Ann moves; Bob sees her cursor where she is, with her name.
    ann.mouse.move(200, 300)
    ann.mouse.move(400, 350)
    cursor = bob.locator(".cursor")
    cursor.wait_for(timeout=60_000)
    assert cursor.locator("span").inner_text() == "Ann"
    room = bob.locator("#room").bounding_box()
    expected = f"translate({400 - room['x']:.0f}px"
    eventually(lambda: expected in bob.locator(".cursor").evaluate("c => c.style.transform"), what="Ann's cursor at its place")
    assert ann.locator(".cursor").count() == 0, "nobody sees a copy of their own"

    # Bob leaves a star; Ann sees it, and so does who comes later.
    bob.mouse.click(300, 300)
    ann.locator(".star").wait_for(timeout=60_000)
    bob.context.close()
    eventually(lambda: names_on(ann) == ["Ann"], what="Bob gone by his onDisconnect")
    cy = open_page(browser, page_url, server, "Cy")
    cy.locator(".star").wait_for(timeout=60_000)
    eventually(lambda: names_on(cy) == ["Ann", "Cy"], what="who is there for who comes later")
    assert ann.complaints == []
    assert cy.complaints == []
    cy.context.close()
    ann.context.close()


def test_a_window_survives_the_death_of_the_worker(browser: Any, page_url: str, server: Server) -> None:
    ann = open_page(browser, page_url, server, "Ann")
    ann.mouse.click(300, 300)
    ann.locator(".star").wait_for(timeout=60_000)
    ann.evaluate(REMEMBER_STATES)
    server.kill_workers()
    eventually(lambda: ann.evaluate("states.join()").endswith("false,true"), what="the connection lost and there again")
    bob = open_page(browser, page_url, server, "Bob")
    for page in (ann, bob):
        eventually(lambda page=page: names_on(page) == ["Ann", "Bob"], what="both in the room after the crash")
        eventually(lambda page=page: page.locator(".star").count() == 1, what="the star, once")
    ann.context.close()
    bob.context.close()


def test_a_window_that_was_reloaded_too_quickly_comes_back(browser: Any, page_url: str, server: Server) -> None:
    """The SDK marks WebSockets as failed until one has heard two answers, and begins with a long poll while the mark is there."""
    ann = open_page(browser, page_url, server, "Ann")
    ann.evaluate("localStorage.setItem('firebase:previous_websocket_failure', 'true')")
    ann.reload()
    ann.wait_for_selector('#status[data-connected="true"]', timeout=60_000)
    eventually(lambda: names_on(ann) == ["Ann"], what="in the room again")
    for pause_ms in (0, 20, 50, 100, 150, 200):
        ann.goto(ann.url, wait_until="commit")
        ann.wait_for_timeout(pause_ms)
    ann.wait_for_selector('#status[data-connected="true"]', timeout=60_000)
    ann.context.close()


def test_the_example_pins_the_sdk_that_is_tested(node: Path) -> None:
    example = json.loads((EXAMPLE / "package.json").read_text())["dependencies"]["firebase"]
    tested = json.loads((node / "package.json").read_text())["dependencies"]["firebase"]
    installed = json.loads((node / "node_modules" / "firebase" / "package.json").read_text())["version"]
    assert example == tested == installed
