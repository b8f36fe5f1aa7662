"""The example page on our own client in a real browser: two windows see each other point and draw, through volatile values.

The project's folder is served over loopback as the page's README says, with js/ built.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meadowlark.testing import NOBODY, Database, User
from tests.browser.conftest import FLAGS, REMEMBER_STATES, chromium, serving
from tests.harness import PROJECT, Server, eventually
from tests.js.conftest import build

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EXAMPLE = PROJECT / "examples" / "shared-canvas"
DATABASE = "shared-canvas"


COUNT_DATAGRAMS = """
    window.transports = [];
    window.sentDatagrams = window.heardDatagrams = 0;
    const Real = WebTransport;
    window.WebTransport = class extends Real {
        constructor(...given) {
            super(...given);
            window.transports.push(this);
            const over = () => { this.isOver = true; };
            this.closed.then(over, over);
        }
    };
    const packets = new WeakMap();
    const watched = (owner, method) => {
        const real = owner[method];
        owner[method] = function (...given) {
            const one = real.apply(this, given);
            const isOf = ({ datagrams }) => [datagrams.readable, datagrams.writable].includes(this);
            if (window.transports.some(isOf)) packets.set(one, true);
            return one;
        };
    };
    watched(ReadableStream.prototype, 'getReader');
    watched(WritableStream.prototype, 'getWriter');
    const { read } = ReadableStreamDefaultReader.prototype, { write } = WritableStreamDefaultWriter.prototype;
    ReadableStreamDefaultReader.prototype.read = async function () {
        const next = await read.call(this);
        if (packets.has(this) && !next.done) window.heardDatagrams++;
        return next;
    };
    WritableStreamDefaultWriter.prototype.write = function (chunk) {
        if (packets.has(this)) window.sentDatagrams++;
        return write.call(this, chunk);
    };
"""
"""Before anything else in a page: what goes in datagrams, each way."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One whose QUIC is not switched off."""
    with chromium([flag for flag in FLAGS if flag != "--disable-quic"]) as running:
        yield running


@pytest.fixture(scope="module")
def page_url(node: Path) -> Iterator[str]:
    build()
    with serving(PROJECT, node / "node_modules") as url:
        yield f"{url}/examples/shared-canvas/"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data", arguments=("--rules-file", str(EXAMPLE / "rules.json"))) as running:
        # It imports what QUIC takes when it is first asked, which takes longer here than clients wait.
        with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/.wt?ns={DATABASE}", timeout=60) as answer:
            assert json.load(answer)["url"]
        yield running


COMINGS_MAX = 20


def _complains(message: Any) -> bool:
    """On a busy machine a page is slow and hears only the last of each place, which `dev` tells who wrote."""
    return message.type in ("error", "warning") and "superseded" not in message.text


def open_page(browser: Any, page_url: str, server: Server, name: str, color: str = "") -> Any:
    """A page in a context of its own (as another person's browser), connected by WebTransport.

    A page that has none within a second is content with a WebSocket: on a busy machine it may have to come again."""
    page = browser.new_context(viewport={"width": 1000, "height": 640}).new_page()
    page.add_init_script(COUNT_DATAGRAMS)
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: page.complaints.append(message.text) if _complains(message) else None)
    for _ in range(COMINGS_MAX):
        page.complaints.clear()
        page.goto(f"{page_url}?server=127.0.0.1:{server.port}&name={name}&color={color}")
        page.wait_for_selector('#status[data-connected="true"]', timeout=60_000)
        if page.evaluate("transports.some((one) => !one.isOver)"):
            return page
    raise AssertionError(f"no WebTransport after {COMINGS_MAX} times: {page.complaints}")


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
    pointer.wait_for(timeout=60_000)
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


def inked(page: Any, canvas: str = "dry") -> bool:
    """Whether anything stands on the canvas of dry or of wet ink."""
    return bool(
        page.evaluate(
            """(id) => {
                const canvas = document.getElementById(id), copy = canvas.cloneNode(), { width, height } = canvas;
                const pen = copy.getContext('2d', { willReadFrequently: true });
                pen.drawImage(canvas, 0, 0);
                return pen.getImageData(0, 0, width, height).data.some((part) => part > 0);
            }""",
            canvas,
        )
    )


WATCH_POINTER = """() => {
    window.seenAt = [];
    const look = () => {
        const pointer = document.querySelector('.pointer');
        if (pointer) window.seenAt.push(new DOMMatrix(pointer.style.transform).e);
        requestAnimationFrame(look);
    };
    look();
}"""


def test_pointers_go_in_datagrams_and_move_through_places_that_were_never_told(
    browser: Any, page_url: str, server: Server
) -> None:
    ann, bob = open_page(browser, page_url, server, "Ann"), open_page(browser, page_url, server, "Bob")
    for page in (ann, bob):
        assert page.evaluate("transports.length") >= 1, "it has tried a WebTransport"
        eventually(lambda page=page: names_on(page) == ["Ann", "Bob"], what="both in the room")
    ann.mouse.move(200, 256)
    bob.locator(".pointer").wait_for(timeout=60_000)
    eventually(lambda: place_on(bob) == (200, 256), what="Ann's pointer at its place")
    bob.evaluate(WATCH_POINTER)

    # Between two places only those two are told; what is shown between them is ours.
    def between() -> list[float]:
        for x in (600, 200):
            ann.mouse.move(x, 256)
            eventually(lambda x=x: place_on(bob) == (x, 256), what="Ann's pointer at its next place")
        return [x for x in bob.evaluate("seenAt") if 210 < x < 590]

    eventually(lambda: len(set(between())) >= 3, what="places between the two")
    assert all(199 <= x <= 601 for x in bob.evaluate("seenAt")), "never beyond them"
    eventually(lambda: between() and ann.evaluate("sentDatagrams") > 0, what="datagrams from Ann")
    eventually(lambda: between() and bob.evaluate("heardDatagrams") > 0, what="datagrams to Bob")

    # Without interpolation it jumps.
    bob.locator("#smooth").uncheck()
    bob.evaluate("() => { window.seenAt = []; }")
    assert between() == []
    assert ann.complaints == bob.complaints == []
    ann.context.close()
    bob.context.close()


def test_what_somebody_was_drawing_vanishes_with_the_page(browser: Any, page_url: str, server: Server) -> None:
    ann, bob = open_page(browser, page_url, server, "Ann"), open_page(browser, page_url, server, "Bob")
    ann.mouse.move(200, 256)
    ann.mouse.down()
    for step in range(1, 30):
        ann.mouse.move(200 + 8 * step, 256 + 60 * ((step // 6) % 2))
    eventually(lambda: inked(bob, "wet"), what="Ann's wet ink at Bob's")
    ann.context.close()
    eventually(lambda: bob.locator(".pointer").count() == 0, what="Ann's pointer gone")
    eventually(lambda: names_on(bob) == ["Bob"], what="Ann gone")
    eventually(lambda: not inked(bob, "wet"), what="Ann's wet ink gone")
    assert not inked(bob)
    assert bob.locator("#room").get_attribute("data-strokes") == "0"
    assert server.read("/rooms/lobby/strokes", ns=DATABASE) is None
    assert bob.complaints == []
    bob.context.close()


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
    bob.locator(".pointer").wait_for(timeout=60_000)
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
