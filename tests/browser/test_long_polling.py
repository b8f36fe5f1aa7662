"""The official SDK's browser bundle over long polls: WebSockets blocked, then let through.

A gate stands between the browser and the server. It looks at how each connection begins, and drops those that ask for a WebSocket
as long as it is closed to them: as networks do that do not let them through.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meadowlark.wire.scripts import script
from tests.browser.conftest import serving
from tests.harness import PROJECT, Server, eventually, fresh_name
from tests.query.scenarios import SCENARIOS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FOLDER = PROJECT / "tests" / "browser"


class Gate:
    """A relay in front of `port`."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lets_sockets = False
        self.is_down = False
        """Whether nothing is let through."""
        self.refused_count = 0
        """WebSockets that were not let through."""
        self.socket_targets: list[str] = []
        """Those that were."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Every connection ends, without a word."""
        with self._lock:
            sides, self._open = self._open, set()
        for side in sides:
            _end(side)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._meet, args=(client,), daemon=True).start()

    def _meet(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        try:
            first = client.recv(65536)
            if first.startswith(b"GET /.ws"):
                if not self.lets_sockets:
                    self.refused_count += 1
                    return
                self.socket_targets.append(first.split(b" ", 2)[1].decode())
            if not first or self.is_down:
                return
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            server.settimeout(None)
            with self._lock:
                self._open.add(server)
            server.sendall(first)
            threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
            self._pump(client, server)
        except OSError:
            pass
        finally:
            _end(client)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
        except OSError:
            pass
        finally:
            _end(sink)
            _end(source)


def _end(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
    side.close()


@pytest.fixture
def gate(server: Server) -> Iterator[Gate]:
    gate = Gate(server.port)
    yield gate
    gate.close()


@pytest.fixture(scope="module")
def page_url(node: Path) -> Iterator[str]:
    with serving(FOLDER, node / "node_modules") as url:
        yield f"{url}/page.html"


@pytest.fixture
def ns() -> str:
    return fresh_name("poll")


class Window:
    """A page of its own person, with the SDK on it."""

    def __init__(self, browser: Any, page_url: str, gate: Gate, ns: str, query: str = "") -> None:
        self.context = browser.new_context()
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        """Addresses of polls."""
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url) if "/.lp?" in request.url else None)
        self.page.goto(f"{page_url}?server=127.0.0.1:{gate.port}&ns={ns}{query}")
        self.page.wait_for_function("window.isReady")

    def wait_connected(self, *, connected: bool = True) -> None:
        self.page.wait_for_selector(f'body[data-connected="{str(connected).lower()}"]', timeout=60_000, state="attached")

    def run(self, script: str) -> Any:
        """What the JavaScript expression gives, promises resolved."""
        return self.page.evaluate(f"(async () => {script})()")

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def open_window(browser: Any, page_url: str, gate: Gate, ns: str) -> Iterator[Any]:
    windows: list[Window] = []

    def make(query: str = "") -> Window:
        windows.append(Window(browser, page_url, gate, ns, query))
        return windows[-1]

    yield make
    for window in windows:
        window.close()
    assert [window.errors for window in windows] == [[]] * len(windows)


def test_everything_works_where_websockets_do_not_come_through(open_window: Any, server: Server, gate: Gate, ns: str) -> None:
    ann = open_window()
    ann.wait_connected()
    assert gate.refused_count > 0, "the SDK tries a WebSocket first"
    assert any("start=t" in url for url in ann.requests)

    # Listens, writes, answers, pushes from others, both ways and in order.
    ann.run("onValue(at('n'), (snapshot) => seen.push(snapshot.val()))")
    for number in range(10):
        ann.run(f"set(at('n'), {number})")
    server.write("/n", "from REST", ns=ns)
    eventually(lambda: ann.run("seen.at(-1)") == "from REST", what="a write of somebody else")
    assert [value for value in ann.run("seen") if value is not None] == [*range(10), "from REST"]

    # Text of every kind, more than one URL takes, up and down.
    text = "<script>alert(1)</script> \u2028\u2029 é日本😀 " * 2000
    ann.run(f"set(at('text'), {json.dumps(text)})")
    assert server.read("/text", ns=ns) == text
    assert ann.run("get(at('text')).then((snapshot) => snapshot.val())") == text
    server.write("/odd", {"<!--": "</script>"}, ns=ns)
    assert ann.run("get(at('odd')).then((snapshot) => snapshot.val())") == {"<!--": "</script>"}

    # A script's `__proto__` would set a prototype; what is a key in JSON must stay one.
    assert ann.page.evaluate(packet_of('{"__proto__":{"a":1}}')) == '{"__proto__":{"a":1}}'

    # Many at once: pieces of many messages in each URL, two requests on their way.
    ann.run("Promise.all(Array.from({length: 300}, (_, index) => set(at(`many/k${index}`), index))).then(() => null)")
    assert server.read("/many", ns=ns) == {f"k{index}": index for index in range(300)}
    assert ann.run("runTransaction(at('count'), (value) => (value ?? 0) + 1).then((result) => result.committed)") is True
    assert server.read("/count", ns=ns) == 1


def test_a_large_value_is_heard_over_polls(open_window: Any, server: Server, ns: str) -> None:
    value = {f"key{number}": {"n": number, "text": "é<" * 30} for number in range(20_000)}
    server.write("/large", value, ns=ns)
    ann = open_window("&poll")
    count = ann.run("get(at('large')).then((snapshot) => snapshot.size)")
    assert count == len(value)
    assert ann.run("get(at('large/key777')).then((snapshot) => snapshot.val())") == value["key777"]


def test_queries_over_polls_raise_the_events_of_the_scenarios(open_window: Any, server: Server, ns: str) -> None:
    """A sixth of them; tests/conformance/test_queries.py has all, over a WebSocket."""
    ann = open_window("&poll")
    for number, scenario in enumerate(SCENARIOS[::6]):
        place = f"/{number}"
        server.write(f"{place}/list", scenario["tree"], ns=ns)
        ann.run("{" + HEAR + f"hear(query(at('{number}/list'), {calls_of(scenario['query'])})); }}")
        expected = scenario["first"]
        for step in [None, *scenario["steps"]]:
            if step is not None:
                kind, path, value = step["do"]
                method = "PATCH" if kind == "update" else "PUT"
                assert (
                    server.rest(method, f"{place}/{path}".rstrip("/"), value, ns=ns, raw=json.dumps(value).encode()).status == 200
                )
                expected = step["events"]
            ann.run("set(at('barrier'), 1)")  # Answered after all that was told before.
            assert ann.run("seen.splice(0)") == expected, (scenario["name"], step)
        ann.run("{ off(asked); }")


HEAR = """
    window.hear = (query) => {
      window.asked = query;
      seen.splice(0);
      onChildAdded(query, (snapshot, before) => seen.push(['added', snapshot.key, before]));
      onChildChanged(query, (snapshot, before) => seen.push(['changed', snapshot.key, before]));
      onChildMoved(query, (snapshot, before) => seen.push(['moved', snapshot.key, before]));
      onChildRemoved(query, (snapshot) => seen.push(['removed', snapshot.key]));
      onValue(query, (snapshot) => {
        const keys = [];
        snapshot.forEach((child) => { keys.push(child.key); });
        seen.push(['value', keys]);
      });
    };
"""


def calls_of(query: list[list[Any]]) -> str:
    """The constraints as JavaScript."""
    return ", ".join(f"{name}({json.dumps(arguments)[1:-1]})" for name, *arguments in query)


def test_a_forced_client_never_tries_a_websocket(open_window: Any, gate: Gate) -> None:
    gate.lets_sockets = True
    ann = open_window("&poll")
    ann.wait_connected()
    assert ann.run("set(at('n'), 1).then(() => true)") is True
    assert (gate.refused_count, gate.socket_targets) == (0, [])


def test_presence_over_polls_closed_window_and_vanished_one(open_window: Any, server: Server, gate: Gate, ns: str) -> None:
    ann, bob = open_window("&poll"), open_window("&poll")
    for name, window in (("ann", ann), ("bob", bob)):
        window.wait_connected()
        window.run(f"onDisconnect(at('online/{name}')).remove().then(() => set(at('online/{name}'), true))")
    assert server.read("/online", ns=ns) == {"ann": True, "bob": True}
    ann.run("onValue(at('online'), (snapshot) => seen.push(snapshot.val()))")

    # A page that goes says so by its frame: within moments, not after the silence of a minute.
    bob.page.goto("about:blank")
    eventually(lambda: ann.run("seen.at(-1)") == {"ann": True}, what="Bob gone when his page is")

    # goOffline says it as well.
    ann.run("{ goOffline(database); }")
    eventually(lambda: server.read("/online", ns=ns) is None, what="Ann gone when she goes offline")
    ann.run("{ goOnline(database); }")
    ann.wait_connected()
    assert ann.run("set(at('n'), 2).then(() => true)") is True


def test_a_connection_that_breaks_is_made_up_for_by_the_browser(open_window: Any, server: Server, gate: Gate, ns: str) -> None:
    """It sends a request again if its kept-alive connection broke before the answer, and the SDK does not even notice."""
    ann = open_window("&poll")
    ann.wait_connected()
    ann.run("onValue(at('n'), (snapshot) => seen.push(snapshot.val()))")
    for number in range(5):
        ann.run(f"set(at('mine'), {number})")
        gate.cut()
        server.write("/n", number, ns=ns)
        eventually(lambda number=number: ann.run("seen.at(-1)") == number, what="a write after the break")
    assert server.read("/mine", ns=ns) == 4


def test_a_network_that_is_down_ends_the_session_when_it_is_back(open_window: Any, server: Server, gate: Gate, ns: str) -> None:
    ann = open_window("&poll")
    ann.wait_connected()
    ann.run("onDisconnect(at('ended')).set(increment(1))")
    ann.run("onValue(at('n'), (snapshot) => seen.push(snapshot.val()))")
    ann.run("set(at('n'), 1)")
    gate.is_down = True
    gate.cut()
    ann.wait_connected(connected=False)
    server.write("/n", 2, ns=ns)
    gate.is_down = False
    ann.wait_connected()
    # The client names its last session as it comes back, so that it ends at once.
    eventually(lambda: server.read("/ended", ns=ns) == 1, what="the end of the session before")
    eventually(lambda: ann.run("seen.at(-1)") == 2, what="a write from the time between")


def test_a_client_that_began_with_polls_goes_over_to_a_websocket(open_window: Any, server: Server, gate: Gate, ns: str) -> None:
    """WebSockets do not come through, then they do: the browser remembers that one failed, begins with polls, and tries again."""
    ann = open_window()
    ann.wait_connected()
    assert gate.refused_count > 0, "the SDK tries a WebSocket first"
    assert any("start=t" in url for url in ann.requests), "and then polls"
    ann.run("set(at('n'), 0)")
    assert server.read("/n", ns=ns) == 0
    assert ann.run("get(at('n')).then((snapshot) => snapshot.val())") == 0
    assert ann.run("localStorage.getItem('firebase:previous_websocket_failure')") == "true"
    assert gate.socket_targets == []

    gate.lets_sockets = True
    ann.requests.clear()
    ann.page.reload()
    ann.page.wait_for_function("window.isReady")
    ann.wait_connected()
    assert any("start=t" in url for url in ann.requests), "it begins with polls"
    ann.run("onDisconnect(at('gone')).set(increment(1))")
    ann.run("onValue(at('n'), (snapshot) => seen.push(snapshot.val()))")

    # Writes of others all along: none is lost, repeated or out of order.
    for number in range(1, 60):
        server.write("/n", number, ns=ns)
        ann.run(f"set(at('mine'), {number})")
    eventually(lambda: any("s=" in target for target in gate.socket_targets), what="a WebSocket that takes over")
    eventually(lambda: ann.run("localStorage.getItem('firebase:previous_websocket_failure')") is None, what="a healthy WebSocket")
    server.write("/n", "last", ns=ns)
    eventually(lambda: ann.run("seen.at(-1)") == "last")
    seen = ann.run("seen")
    assert seen == [*range(seen[0], 60), "last"]

    # From now on no poll is sent, and nothing that was queued has run: the session is the same one.
    eventually(lambda: _is_quiet(ann), what="no polls any more")
    assert ann.run("set(at('after'), true).then(() => true)") is True
    assert server.read("/gone", ns=ns) is None
    ann.page.goto("about:blank")
    eventually(lambda: server.read("/gone", ns=ns) == 1, what="what was queued over polls, once, at the end of the WebSocket")


def packet_of(message: str) -> str:
    """JavaScript that runs a packet with `message`, and gives it as JSON."""
    body = script(b"", 0, [(message.encode(),)]).body
    assert isinstance(body, bytes)
    function = "const pRTLPCB = (number, messages) => { told = messages; };"
    return f"() => {{ let told; {function} {body.decode()} return JSON.stringify(told[0]); }}"


def _is_quiet(window: Window) -> bool:
    before = len(window.requests)
    window.run("set(at('ping'), 1)")
    window.run("set(at('ping'), 2)")
    return len(window.requests) == before
