"""How long does a test wait for a database of its own?

    PYTHONPATH=src python bench/fixture.py

Prints milliseconds of waiting, the median of many: for the server, which a run of tests starts once, and for what each test does
with `meadowlark.testing`. What it does not show: pytest itself, other tests on the same cores.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from meadowlark.testing import NOBODY, DevServer

ROUNDS = 100
STARTS = 3
RULES = {"rooms": {"$room": {".read": "auth != null && data.child('members').hasChild(auth.uid)"}}}


def main() -> None:
    print(f"a server, once a run: {measure(start, STARTS):.0f} ms")
    with DevServer() as server:

        def fresh() -> None:
            with server.database("bench"):
                pass

        def used() -> None:
            with server.database("bench") as database:
                database.set("/rooms/7/members/anna", True)
                assert database.get("/rooms/7") is not None

        def asserted() -> None:
            with server.database("bench") as database:
                database.rules(RULES)
                database.assert_denied("read", "/rooms/7", who=NOBODY)

        def listened() -> None:
            with server.database("bench") as database:
                assert database.client().ref("rooms").get().value is None

        for what, function in (
            ("a database, made and emptied", fresh),
            ("with a value written and read", used),
            ("with rules and an assertion about them", asserted),
            ("with a client that reads", listened),
        ):
            print(f"{what}: {measure(function, ROUNDS):.1f} ms")


def start() -> None:
    with DevServer():
        pass


def measure(function: Callable[[], None], rounds: int) -> float:
    function()
    took = []
    for _ in range(rounds):
        began_at = time.perf_counter()
        function()
        took.append(time.perf_counter() - began_at)
    return statistics.median(took) * 1000


if __name__ == "__main__":
    main()
