"""What does one message cost in the session machine?

    python -m bench.session

Prints microseconds for one message in (decode, session, command) and one message out (encode, frame), the best of many short
rounds, so that other work on the machine shows little, and without the collector, as in a worker. What it does not show:
sockets, the engine, caches that are cold, and waiting. For the large value it prints milliseconds: so long does nobody
else on that core get a turn.
"""

from __future__ import annotations

import gc
import timeit
from collections.abc import Callable

import msgspec
import orjson

from bench.harness import Row
from bench.script import show
from meadowlark.engine import Client, Push, Reply
from meadowlark.wire import Outcome, Session, encode_push, encode_reply, text_frames
from meadowlark.wire.envelope import decode

ROUNDS = 200
CALLS = 1000

ROWS: list[Row] = []

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
    measure("receive a set of a small value", lambda: receive(SET))
    measure("receive a listen", lambda: receive(LISTEN))
    measure("  of which decoding the set, one typed pass", lambda: decode(SET))
    measure("  instead: outline, then the value with orjson", lambda: orjson.loads(memoryview(_decode_loosely(SET).d.b.d)))
    measure("  instead: orjson alone, untyped", lambda: orjson.loads(SET))
    shared = Push((CLIENT,), PATH, VALUE)
    acknowledged, listened = Reply(CLIENT, 17), Reply(CLIENT, 17, detail=[])
    read = Reply(CLIENT, 17, value=VALUE, detail="get")
    measure("encode and frame a push of a small value", lambda: encode_push(Push((CLIENT,), PATH, VALUE)))
    measure("the same push for the next listener", lambda: encode_push(shared))
    measure("answer a write", lambda: encode_reply(acknowledged))
    measure("answer a listen", lambda: encode_reply(listened))
    measure("answer a get of a small value", lambda: encode_reply(read))
    measure_large()
    show(__doc__, ROWS)


def measure_large() -> None:
    value = orjson.dumps(LARGE)
    message = b'{"t":"d","d":{"r":1,"a":"p","b":{"p":"/a","d":' + value + b"}}}"
    pieces = [message[start : start + 16_384] for start in range(0, len(message), 16_384)]
    ROWS.append({"what": f"a value of {len(value) / 1e6:.1f} MB:", "unit": "", "best": ""})
    measure_once("receive it", lambda: receive(b"%d" % len(pieces), *pieces))
    measure_once("encode and frame a push of it", lambda: encode_push(Push((CLIENT,), PATH, LARGE)))
    measure_once("  of which framing", lambda: text_frames(message))


def receive(*frames: bytes | memoryview) -> None:
    events: list[Outcome] = []
    for frame in frames:
        SESSION.receive(frame, events)


def measure(name: str, call: Callable[[], object]) -> None:
    best = min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS
    ROWS.append({"what": name, "unit": "µs", "best": round(best * 1e6, 2)})


def measure_once(name: str, call: Callable[[], object]) -> None:
    ROWS.append({"what": name, "unit": "ms", "best": round(min(timeit.repeat(call, number=1, repeat=5)) * 1e3, 1)})


if __name__ == "__main__":
    main()
