"""The example page on our own client in a real browser: two windows see each other point and draw, through volatile values.

The project's folder is served over loopback as the page's README says, with js/ built.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meadowlark.testing import NOBODY, Database, User
from tests.browser.conftest import serving
from tests.harness import PROJECT, Server, eventually
from tests.js.conftest import build

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EXAMPLE = PROJECT / "examples" / "shared-canvas"
DATABASE = "shared-canvas"


@pytest.fixture(scope="module")
def page_url(node: Path) -> Iterator[str]:
    build()
    with serving(PROJECT, node / "node_modules") as url:
        yield f"{url}/examples/shared-canvas/"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data", arguments=("--rules-file", str(EXAMPLE / "rules.json"))) as running:
        yield running


def open_page(browser: Any, page_url: str, server: Server, name: str, color: str = "") -> Any:
    """A page in a context of its own (as another person's browser), connected."""
    page = browser.new_context(viewport={"width": 1000, "height": 640}).new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: page.complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.goto(f"{page_url}?server=127.0.0.1:{server.port}&name={name}&color={color}")
    page.wait_for_selector('#status[data-connected="true"]', timeout=20_000)
    return page


def names_on(page: Any) -> list[str]:
    return sorted(page.locator("#people li").all_inner_texts())


def place_on(page: Any) -> tuple[float, float]:
    """Where the one pointer of another person is shown."""
    x, y = page.locator(".pointer").evaluate("p => { const m = new DOMMatrix(p.style.transform); return [m.e, m.f]; }")
    return round(x), round(y)


def test_two_windows_see_each_other_point_draw_and_go(browser: Any, page_url: str, server: Server) -> None:
    ann = open_page(browser, page_url, server, "Ann", "%23ffb454")
    bob = open_page(browser, page_url, server, "Bob", "%2359d4c4")
    for page in (ann, bob):
        eventually(lambda page=page: names_on(page) == ["Ann", "Bob"], what="both in the room")

    # Ann points; for Bob her pointer comes to rest at just that place, with her name.
    ann.mouse.move(200, 300)
    ann.mouse.move(420, 256)
    pointer = bob.locator(".pointer")
    pointer.wait_for(timeout=30_000)
    eventually(lambda: place_on(bob) == (420, 256), what="Ann's pointer at its place")
    assert pointer.locator("span").inner_text() == "Ann"
    assert ann.locator(".pointer").count() == 0, "nobody sees a copy of their own"

    # What is volatile is seen over REST while it lives, and is no part of an export.
    (told,) = server.read("/rooms/lobby/pointers", ns=DATABASE).values()
    assert told == {"x": 4200, "y": 4000, "draws": False}
    assert server.rest("GET", "/", ns=DATABASE, query="format=export").json() is None

    # Ann draws; while she does nothing is stored, and afterwards it is there for who comes later.
    ann.mouse.down()
    for step in range(1, 40):
        ann.mouse.move(420 + 6 * step, 256 + 90 * ((step // 8) % 2))
    eventually(lambda: '"draws":true' in server.rest("GET", "/rooms/lobby/pointers", ns=DATABASE).body.decode(), what="ink told")
    assert server.read("/rooms/lobby/strokes", ns=DATABASE) is None
    ann.mouse.up()
    eventually(lambda: bob.locator("#room").get_attribute("data-strokes") == "1", what="the stroke on Bob's canvas")
    assert inked(bob)

    # Bob's connection ends: nothing of him stays, without any onDisconnect.
    bob.context.close()
    eventually(lambda: names_on(ann) == ["Ann"], what="Bob gone with his connection")
    cy = open_page(browser, page_url, server, "Cy")
    eventually(lambda: cy.locator("#room").get_attribute("data-strokes") == "1", what="the stroke on Cy's canvas")
    cy.locator("#clear").click()
    eventually(lambda: ann.locator("#room").get_attribute("data-strokes") == "0", what="a clear canvas")
    assert not inked(ann)
    assert ann.complaints == []
    assert cy.complaints == []
    cy.context.close()
    ann.context.close()


def inked(page: Any) -> bool:
    """Whether anything dry stands on the canvas."""
    return bool(
        page.evaluate("""() => {
            const { width, height } = dry;
            return dry.getContext('2d').getImageData(0, 0, width, height).data.some((part) => part > 0);
        }""")
    )


REMEMBER_STATES = """() => {
    window.states = [];
    const { dataset } = document.querySelector('#status');
    const observed = new MutationObserver(() => states.push(dataset.connected));
    observed.observe(document.querySelector('#status'), { attributeFilter: ['data-connected'] });
}"""


def test_a_window_survives_the_death_of_the_worker(browser: Any, page_url: str, server: Server) -> None:
    ann = open_page(browser, page_url, server, "Ann")
    bob = open_page(browser, page_url, server, "Bob")
    eventually(lambda: names_on(ann) == ["Ann", "Bob"], what="both in the room")
    for page in (ann, bob):
        page.evaluate(REMEMBER_STATES)
    server.kill_workers()
    for page in (ann, bob):
        eventually(
            lambda page=page: page.evaluate("states.join()").endswith("false,true"), what="the connection lost and there again"
        )
        eventually(lambda page=page: names_on(page) == ["Ann", "Bob"], what="both in the room after the crash")
    ann.mouse.move(420, 256)
    bob.locator(".pointer").wait_for(timeout=30_000)
    eventually(lambda: place_on(bob) == (420, 256), what="Ann's pointer after the crash")
    for page in (ann, bob):
        page.context.close()


SPRING = """async (address) => {
    const { Spring } = await import(address);
    const spring = new Spring(0), seen = [];
    // Ten positions of a pointer at constant speed, one every 100 ms, drawn every 10.
    for (let now = 0; now <= 1000; now += 10) {
        if (now % 100 === 0) spring.aim(now, now);
        seen.push(spring.at(now));
    }
    for (let now = 1010; now <= 3000; now += 10) seen.push(spring.at(now));
    const whole = new Spring(0), halves = new Spring(0);
    for (const one of [whole, halves]) one.aim(100, 0);
    halves.at(30);
    return { seen, whole: whole.at(60), halves: halves.at(60) };
}"""


def test_between_positions_a_pointer_moves_evenly_and_never_beyond(browser: Any, page_url: str) -> None:
    page = browser.new_context().new_page()
    page.goto(page_url)
    found = page.evaluate(SPRING, f"{page_url}spring.js")
    page.context.close()
    steps = [after - before for before, after in zip(found["seen"], found["seen"][1:], strict=False)]
    assert min(steps) >= -0.001, "it never goes back"
    assert max(found["seen"]) <= 1000.001, "nor beyond where the pointer was"
    assert abs(found["seen"][-1] - 1000) < 0.5, "and comes to rest there"
    assert max(steps) < 30, "without jumps: a position is 100 further than the last, a frame a tenth of the time"
    assert abs(found["whole"] - found["halves"]) < 1e-9, "however many frames there were"


def test_the_examples_rules_let_the_page_do_what_it_does_and_no_more(meadowlark_database: Database) -> None:
    meadowlark_database.rules(EXAMPLE / "rules.json")
    pointer, stroke = "/rooms/lobby/pointers/a", "/rooms/lobby/strokes/s"
    meadowlark_database.assert_allowed("set", pointer, {"x": 1, "y": 2, "draws": False}, who=NOBODY)
    meadowlark_database.assert_denied("set", pointer, {"x": "1", "y": 2, "draws": False}, who=NOBODY)
    meadowlark_database.assert_allowed("set", stroke, {"by": "a", "color": "#fff", "points": "1 2"}, who=NOBODY)
    meadowlark_database.set(stroke, {"by": "a", "color": "#fff", "points": "1 2"})
    meadowlark_database.assert_denied("set", stroke, {"by": "b", "color": "#fff", "points": "1 2"}, who=User("b"))
    meadowlark_database.assert_allowed("set", "/rooms/lobby/strokes", None, who=NOBODY)
    meadowlark_database.assert_denied("read", "/", who=NOBODY)
