"""Stories on one tree, as Firebase's own SDK and both of our clients tell them: event by event the same.

Each client plays each story of tests/specs/stories.json at a place of its own. What is compared is all that a program is told, in
order: events of its listeners, the outcome of what it asked, and with refusals the code. What a refusal says beside the code is
compared for our own clients only, since the SDK does not give it to programs everywhere.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from meadowlark.client import ABORT, ChildEvent, Database, Denied, Readable, Reference, Snapshot
from tests.conformance.conftest import Told, settings_for
from tests.harness import Script, Server, fresh_name
from tests.js.conftest import OPTIONS

pytestmark = pytest.mark.slow

SPEC = Path(__file__).parents[1] / "specs" / "stories.json"
STORIES: dict[str, dict[str, Any]] = {story["name"]: story for story in json.loads(SPEC.read_bytes())}
CLIENTS = ("sdk", "javascript", "python")
SECONDS = 120.0


def told_by(client: str) -> list[str]:
    return [name for name, story in STORIES.items() if client in story.get("clients", CLIENTS)]


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "add one": lambda value: (value or 0) + 1,
    "add x": lambda value: value | {"x": 1},
    "leave it": lambda value: ABORT,
    "remove it": lambda value: None,
}


class Player:
    """How the Python client plays. In step with tests/conformance/node/stories.mjs, by which the others do."""

    def __init__(self, url: str, root: str) -> None:
        self._url = url
        self._root = root
        self._clients = {"me": Database(url), "other": Database(url)}
        self._keys: list[str] = []
        self._barriers = 0
        self.events: list[list[Any]] = []

    async def play_all(self) -> list[list[Any]]:
        for client in self._clients.values():
            client.start()
        for name, story in STORIES.items():
            if "python" not in story.get("clients", CLIENTS):
                continue
            self._say("scenario", name)
            await self._play(f"{self._root}/{name}", story)
        for client in self._clients.values():
            await client.close()
        return self.events

    async def _play(self, root: str, story: dict[str, Any]) -> None:
        me = self._clients["me"]
        listenings: list[Any] = []
        heard: dict[str, Any] = {}
        for label, (path, *constraints) in story.get("hears", {}).items():
            listenings += self._hear(_constrained(me.ref(f"{root}/{path}"), constraints), label, heard)
        await self._settled()
        is_online = True
        waiting: list[asyncio.Task[None]] = []
        for step in story["steps"]:
            self._say("step")
            parts = [step] if isinstance(step[0], str) else step
            begun = [asyncio.create_task(self._act(part, root, heard)) for part in parts]
            for who, verb, *_ in parts:
                if who == "me" and verb in ("offline", "online"):
                    is_online = verb == "online"
            waiting += begun
            if is_online:
                await asyncio.gather(*waiting)
                waiting.clear()
                await self._settled()
            else:
                await asyncio.gather(
                    *[task for task, part in zip(begun, parts, strict=True) if part[0] == "other" or part[1] == "offline"]
                )
                await asyncio.sleep(0)
        for listening in listenings:
            listening.stop()

    def _hear(self, asked: Readable, label: str, heard: dict[str, Any]) -> list[Any]:
        def child(event: ChildEvent) -> None:
            before = None if event.kind == "child_removed" else self._known(event.previous_key)
            kind = event.kind.removeprefix("child_")
            self._say(label, kind, self._known(event.key), before, self._plain(event.snapshot.export))

        def value(snapshot: Snapshot) -> None:
            keys = [self._known(child.key) for child in snapshot]
            heard[label] = snapshot.export
            self._say(label, "value", keys, self._plain(snapshot.export))

        def ended(error: Exception) -> None:
            assert isinstance(error, Denied)
            self._say(label, "ended", error.status.upper())

        return [asked.on_child(child, error=lambda error: None), asked.on_value(value, error=ended)]

    async def _act(self, part: list[Any], root: str, heard: dict[str, Any]) -> None:
        who, verb, path, value = (*part, None)[:4]
        client = self._clients[who]
        if verb == "offline":
            client.go_offline()
            while client.is_connected:
                await asyncio.sleep(0)
        elif verb == "online":
            client.go_online()
        elif verb == "leave":
            await client.close()
            self._clients[who] = Database(self._url)
            self._clients[who].start()
        elif verb == "until":
            async with asyncio.timeout(SECONDS):
                while heard.get(path) != value:
                    await asyncio.sleep(0.02)
        else:
            try:
                result = await VERBS[verb](client.ref(f"{root}/{path}"), value)
            except Denied as denied:
                self._say("refused", verb, denied.status.upper())
                self._say("reason", verb, str(denied))
            else:
                if who == "me":
                    self._say("done", verb, *(self._plain(member) for member in result or ()))

    async def _settled(self) -> None:
        self._barriers += 1
        await self._clients["me"].ref("barriers/python").set(self._barriers)

    def _say(self, *event: Any) -> None:
        self.events.append(json.loads(json.dumps(event)))

    def _known(self, key: str | None) -> str | None:
        if key is None or len(key) != 20:
            return key
        if key not in self._keys:
            self._keys.append(key)
        return f"pushed {self._keys.index(key) + 1}"

    def _plain(self, value: Any) -> Any:
        return {self._known(key): self._plain(member) for key, member in value.items()} if isinstance(value, dict) else value


def _constrained(place: Readable, constraints: list[list[Any]]) -> Readable:
    for word, *given in constraints:
        name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in word)
        place = getattr(place, name)(*given)
    return place


async def _get(place: Reference, _: Any) -> list[Any]:
    return [(await place.get()).export]


async def _push(place: Reference, value: Any) -> None:
    await place.push(value)


async def _transaction(place: Reference, name: str, *, apply_locally: bool = True) -> list[Any]:
    committed, snapshot = await place.transaction(FUNCTIONS[name], apply_locally=apply_locally)
    return [committed, snapshot.export]


VERBS: dict[str, Callable[[Reference, Any], Awaitable[Any]]] = {
    "set": lambda place, value: place.set(value),
    "update": lambda place, value: place.update(value),
    "remove": lambda place, _: place.remove(),
    "push": _push,
    "setPriority": lambda place, value: place.set_priority(value),
    "setWithPriority": lambda place, value: place.set(value[0], priority=value[1]),
    "get": _get,
    "transaction": _transaction,
    "quiet transaction": functools.partial(_transaction, apply_locally=False),
    "onDisconnect.set": lambda place, value: place.on_disconnect.set(value),
    "onDisconnect.setWithPriority": lambda place, value: place.on_disconnect.set(value[0], priority=value[1]),
    "onDisconnect.update": lambda place, value: place.on_disconnect.update(value),
    "onDisconnect.remove": lambda place, _: place.on_disconnect.remove(),
    "onDisconnect.cancel": lambda place, _: place.on_disconnect.cancel(),
}


@pytest.fixture(scope="module")
def told(node: Path, server: Server, built: str) -> dict[str, Told]:
    """What each client told. All three play at the same time."""
    ns = fresh_name("stories")
    open_to_all = {".read": True, ".write": True}
    rules = {story["name"]: story.get("rules", open_to_all) for story in STORIES.values()}
    answer = server.rest("PUT", "/.settings/rules", {"rules": {"stories": {"$client": rules}, "barriers": open_to_all}}, ns=ns)
    assert answer.status == 200, answer
    for client in CLIENTS:
        server.write(f"/stories/{client}", {story["name"]: story["tree"] for story in STORIES.values()}, ns=ns)

    def script(client: str, options: str) -> Script:
        settings = settings_for(server, "url", ns, stories=str(SPEC), root=f"stories/{client}")
        return Script("stories.mjs", settings, environment={"NODE_OPTIONS": options})

    with script("sdk", "") as sdk, script("javascript", OPTIONS) as ours:
        player = Player(f"http://127.0.0.1:{server.port}?ns={ns}", "stories/python")

        async def play() -> list[list[Any]]:
            return await asyncio.wait_for(player.play_all(), SECONDS)

        events = asyncio.run(play())
        return {"sdk": Told(sdk.finish()), "javascript": Told(ours.finish()), "python": Told(events)}


def in_order(events: list[list[Any]]) -> list[list[list[list[Any]]]]:
    """Of each step what is told, in order. Of what was begun together the outcomes come by themselves and in no particular order:
    how many turns of the loop a promise takes to tell is nobody's promise."""
    steps: list[list[list[Any]]] = [[]]
    for event in events:
        if event[0] == "step":
            steps.append([])
        elif event[0] != "reason":
            steps[-1].append(event)
    return [_untangled(step) for step in steps]


def _untangled(step: list[list[Any]]) -> list[list[list[Any]]]:
    outcomes = _outcomes(step)
    return [step] if len(outcomes) < 2 else [[event for event in step if event not in outcomes], sorted(outcomes, key=str)]


def _outcomes(events: list[list[Any]]) -> list[list[Any]]:
    return [event for event in events if event[0] in ("done", "refused")]


@pytest.mark.parametrize(("client", "story"), [(client, story) for client in CLIENTS[1:] for story in told_by(client)])
def test_a_story_is_told_alike(told: dict[str, Told], client: str, story: str) -> None:
    assert in_order(told[client](story)) == in_order(told["sdk"](story))


# What the comparison rests on, said in words


@pytest.mark.parametrize("client", CLIENTS)
def test_a_denied_write_is_seen_at_once_and_then_undone_before_it_is_told(told: dict[str, Told], client: str) -> None:
    first = in_order(told[client]("a denied set"))[1][0]
    assert first == [
        ["one", "value", [], "much too long"],
        ["notes", "changed", "a", None, "much too long"],
        ["notes", "value", ["a", "b"], {"a": "much too long", "b": "two"}],
        ["one", "value", [], "one"],
        ["notes", "changed", "a", None, "one"],
        ["notes", "value", ["a", "b"], {"a": "one", "b": "two"}],
        ["refused", "set", "PERMISSION_DENIED"],
    ]


@pytest.mark.parametrize("client", CLIENTS)
def test_each_kind_of_request_is_refused_with_the_code(told: dict[str, Told], client: str) -> None:
    refused = {
        event[1] for story in told_by(client) for event in told[client](story, "refused") if event[2] == "PERMISSION_DENIED"
    }
    assert refused == {
        "set", "update", "push", "remove", "setPriority", "setWithPriority", "get", "transaction", "quiet transaction",
        "onDisconnect.set", "onDisconnect.update", "onDisconnect.remove",
    }  # fmt: skip


@pytest.mark.parametrize("client", ["javascript", "python"])
def test_a_server_in_dev_says_which_rule_denied_and_where(told: dict[str, Told], client: str) -> None:
    for story in told_by(client):
        for _, verb, reason in told[client](story, "reason"):
            assert f"/stories/{client}/{story}" in reason, (verb, reason)
            assert ".write" in reason or ".validate" in reason or ".read" in reason, (verb, reason)
    _, _, reason = told[client]("a denied remove", "reason")[0]
    assert ".write at" in reason
    assert "is false" in reason
