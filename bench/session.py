"""What does one message cost in the session machine?

    PYTHONPATH=src python bench/session.py

Prints microseconds for one message in (decode, session, command) and one message out (encode, frame), the best of many short
rounds, so that other work on the machine shows little, and without the collector, as in a worker. What it does not show:
sockets, the engine, caches that are cold, and waiting. For the large value it prints milliseconds: so long does nobody
else on that core get a turn.
"""

from __future__ import annotations

import gc
import platform
import timeit
from collections.abc import Callable

import msgspec
import orjson

from meadowlark.engine import Client, Push, Reply
from meadowlark.wire import Outcome, Session, encode_push, encode_reply, text_frames
from meadowlark.wire.envelope import decode

ROUNDS = 200
CALLS = 1000

CLIENT = Client("s1")
PATH = ("rooms", "7", "cursors", "ada")
VALUE = {"x": 101, "y": 230}
SET = memoryview(b'{"t":"d","d":{"r":17,"a":"p","b":{"p":"/rooms/7/cursors/ada","d":{"x":101,"y":230}}}}')
LISTEN = memoryview(b'{"t":"d","d":{"r":17,"a":"q","b":{"p":"/rooms/7/cursors/ada","h":""}}}')
RECORD = {f"field{index}": {"name": f"value {index}", "count": index, "part": index / 7, "on": True} for index in range(16)}
SESSION = Session(CLIENT, "h")
LARGE = {f"record{index}": RECORD for index in range(13_000)}


class _Body(msgspec.Struct):
    d: msgspec.Raw


class _Request(msgspec.Struct):
    r: int
    a: str
    b: _Body


class _Message(msgspec.Struct):
    d: _Request


_decode_loosely = msgspec.json.Decoder(_Message).decode


def main() -> None:
    gc.disable()
    print(f"Python {platform.python_version()}, msgspec {msgspec.__version__}, orjson {orjson.__version__}, {platform.machine()}")
    show("receive a set of a small value", lambda: receive(SET))
    show("receive a listen", lambda: receive(LISTEN))
    show("  of which decoding the set, one typed pass", lambda: decode(SET))
    show("  instead: outline, then the value with orjson", lambda: orjson.loads(memoryview(_decode_loosely(SET).d.b.d)))
    show("  instead: orjson alone, untyped", lambda: orjson.loads(SET))
    shared = Push((CLIENT,), PATH, VALUE)
    acknowledged, listened = Reply(CLIENT, 17), Reply(CLIENT, 17, detail=[])
    read = Reply(CLIENT, 17, value=VALUE, detail="get")
    show("encode and frame a push of a small value", lambda: encode_push(Push((CLIENT,), PATH, VALUE)))
    show("the same push for the next listener", lambda: encode_push(shared))
    show("answer a write", lambda: encode_reply(acknowledged))
    show("answer a listen", lambda: encode_reply(listened))
    show("answer a get of a small value", lambda: encode_reply(read))
    show_large()


def show_large() -> None:
    value = orjson.dumps(LARGE)
    message = b'{"t":"d","d":{"r":1,"a":"p","b":{"p":"/a","d":' + value + b"}}}"
    pieces = [message[start : start + 16_384] for start in range(0, len(message), 16_384)]
    print(f"\na value of {len(value) / 1e6:.1f} MB")
    show_once("receive it", lambda: receive(b"%d" % len(pieces), *pieces))
    show_once("encode and frame a push of it", lambda: encode_push(Push((CLIENT,), PATH, LARGE)))
    show_once("  of which framing", lambda: text_frames(message))


def receive(*frames: bytes | memoryview) -> None:
    events: list[Outcome] = []
    for frame in frames:
        SESSION.receive(frame, events)


def show(name: str, call: Callable[[], object]) -> None:
    best = min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS
    print(f"{name:48}{best * 1e6:8.2f} µs")


def show_once(name: str, call: Callable[[], object]) -> None:
    print(f"{name:48}{min(timeit.repeat(call, number=1, repeat=5)) * 1e3:8.1f} ms")


if __name__ == "__main__":
    main()
