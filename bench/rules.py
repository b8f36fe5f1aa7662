"""How fast are security rules decided, and how long does a rule set take to compile?

Ten rule sets in the style of real apps, each with the operations that such an app does most: chats, games, feeds, shops. One
decision is what a read or a write costs before anything else happens, views of the tree included; one evaluation is of one rule
that a decision asks. The tree has a thousand of everything, to show that its size does not matter. Times are of processor time of
this process, the best of several rounds, since other programs only add. Compiling is of a text: parsed, checked, generated; its
first round is not the best, since functions of one shape are compiled once in a process.

    python -m bench.rules

What it does not show: parsing values, the tree itself, sockets.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from bench.harness import Row
from bench.script import show
from meadowlark.limits import OPERATION_RULES_MAX
from meadowlark.rules import may_read, may_write, parse_rules
from meadowlark.rules.decide import Reading, Writing
from meadowlark.tree import from_json, parse_path

NOW = 1_700_000_000_000
ROUNDS = 5
DECISIONS = 4_000

ANNA = {"uid": "u7", "provider": "password", "token": {"email": "a@example.org", "email_verified": True, "level": 3}}


class App(NamedTuple):
    """One rule set. `reads`: paths; `writes`: path and value."""

    name: str
    rules: Any
    reads: list[str]
    writes: list[tuple[str, Any]]


APPS = [
    App(
        "notes of one user",
        {"users": {"$u": {".read": "auth != null && auth.uid == $u", ".write": "auth != null && auth.uid == $u"}}},
        ["/users/u7", "/users/u7/notes/3"],
        [("/users/u7/notes/3", "text")],
    ),
    App(
        "chat with members",
        {
            "members": {"$room": {".read": "auth != null", "$u": {".write": "auth.uid === $u"}}},
            "messages": {
                "$room": {
                    ".read": "root.child('members').child($room).child(auth.uid).exists()",
                    "$message": {
                        ".write": "!data.exists() && root.child('members/' + $room + '/' + auth.uid).exists()",
                        ".validate": "newData.hasChildren(['by', 'text', 'at']) && newData.child('by').val() === auth.uid",
                        "text": {".validate": "newData.isString() && newData.val().length > 0 && newData.val().length <= 500"},
                        "at": {".validate": "newData.val() === now"},
                        "by": {},
                        "$other": {".validate": False},
                    },
                }
            },
        },
        ["/messages/r7"],
        [("/messages/r7/m9999", {"by": "u7", "text": "hello there", "at": NOW})],
    ),
    App(
        "positions in a game",
        {
            "games": {
                "$game": {
                    ".read": "data.child('players').hasChild(auth.uid)",
                    "positions": {
                        "$u": {
                            ".write": "$u === auth.uid && data.parent().parent().child('state').val() === 'on'",
                            ".validate": "newData.hasChildren(['x', 'y'])",
                            "x": {".validate": "newData.isNumber() && newData.val() >= 0 && newData.val() < 1000"},
                            "y": {".validate": "newData.isNumber() && newData.val() >= 0 && newData.val() < 1000"},
                        }
                    },
                }
            }
        },
        ["/games/g7"],
        [("/games/g7/positions/u7", {"x": 12.5, "y": 7})],
    ),
    App(
        "turns of a board game",
        {
            "boards": {
                "$b": {
                    ".read": True,
                    ".write": "data.child('turn').val() === auth.uid && newData.child('turn').val() !== auth.uid",
                    "moves": {"$n": {".validate": "newData.val().matches(/^[a-h][1-8][a-h][1-8]$/)"}},
                }
            }
        },
        ["/boards/b7"],
        [("/boards/b7", {"turn": "u8", "moves": {"1": "e2e4", "2": "e7e5", "3": "g1f3"}})],
    ),
    App(
        "social feed",
        {
            "posts": {
                ".indexOn": ["at"],
                ".read": "auth.token.email_verified === true || auth != null && query.limitToLast <= 50",
                "$post": {
                    ".write": "auth != null && (!data.exists() || data.child('by').val() === auth.uid)",
                    ".validate": "newData.child('by').val() === auth.uid && newData.child('text').isString()",
                    "likes": {"$u": {".write": "auth.uid === $u", ".validate": "newData.isBoolean()"}},
                },
            }
        },
        ["/posts"],
        [("/posts/p7/likes/u7", True), ("/posts/p7/text", "new text")],
    ),
    App(
        "follows and blocks",
        {
            "follows": {
                "$a": {
                    "$b": {
                        ".write": "auth.uid === $a && $a !== $b && !root.child('blocks').child($b).child($a).exists()",
                        ".validate": "newData.isBoolean() || newData.val() === now",
                    }
                }
            },
            "blocks": {"$a": {".read": "auth.uid === $a", ".write": "auth.uid === $a"}},
        },
        ["/blocks/u7"],
        [("/follows/u7/u8", True)],
    ),
    App(
        "presence",
        {
            "status": {
                ".read": "auth != null",
                "$u": {".write": "auth.uid === $u", ".validate": "newData.hasChildren(['on', 'at'])"},
            }
        },
        ["/status"],
        [("/status/u7", {"on": True, "at": NOW})],
    ),
    App(
        "shop with stock",
        {
            "stock": {"$item": {".read": True, ".write": "newData.val() === data.val() - 1 && newData.val() >= 0"}},
            "orders": {
                "$u": {
                    ".read": "auth.uid === $u || auth.token.admin === true",
                    "$order": {
                        ".write": "auth.uid === $u && !data.exists()",
                        ".validate": "root.child('stock').child(newData.child('item').val()).val() > 0",
                    },
                }
            },
        },
        ["/orders/u7"],
        [("/stock/i7", 4), ("/orders/u7/o9", {"item": "i7", "count": 1})],
    ),
    App(
        "forms with patterns",
        {
            "forms": {
                "$u": {
                    ".write": "auth.uid === $u",
                    "email": {".validate": "newData.val().matches(/^[a-z0-9._%+-]+@[a-z0-9.-]+\\.[a-z]{2,4}$/i)"},
                    "phone": {".validate": "newData.val().matches(/^\\+?[0-9 ]{6,20}$/)"},
                    "name": {".validate": "newData.isString() && newData.val().length < 100"},
                    "$other": {".validate": False},
                }
            }
        },
        [],
        [("/forms/u7", {"email": "anna.smith@example.org", "phone": "+49 30 123456", "name": "Anna Smith"})],
    ),
    App(
        "roles of a team",
        {
            "teams": {
                "$team": {
                    ".read": "data.child('roles').child(auth.uid).val() != null",
                    ".write": "data.child('roles').child(auth.uid).val() === 'owner'",
                    "docs": {
                        "$doc": {
                            ".write": "data.parent().parent().child('roles/' + auth.uid).val().matches(/^(owner|editor)$/)",
                            ".validate": "newData.hasChild('title') && (data.exists() ? newData.child('rev').val() > "
                            "data.child('rev').val() : newData.child('rev').val() === 1)",
                        }
                    },
                }
            }
        },
        ["/teams/t7/docs/d7"],
        [("/teams/t7/docs/d7", {"title": "x", "rev": 9})],
    ),
]


def main() -> None:
    gc.disable()  # As in a worker.
    root = from_json(data())[0]
    rows: list[Row] = []
    for app in APPS:
        rules = parse_rules(json.dumps({"rules": app.rules}))
        reads = [Reading(ANNA, parse_path(path), root, NOW) for path in app.reads]
        writes = [Writing(ANNA, [(parse_path(path), from_json(value)[0])], root, NOW) for path, value in app.writes]
        assert all(deciding.decide(rules) for deciding in (*reads, *writes)), app.name
        evaluations = sum(OPERATION_RULES_MAX - deciding.rules_left for deciding in (*reads, *writes))
        read_seconds = seconds_of([partial(may_read, rules, ANNA, reading.path, root, NOW) for reading in reads])
        write_seconds = seconds_of([partial(may_write, rules, ANNA, writing.writes, root, NOW) for writing in writes])
        rows.append(
            {
                "rules": app.name,
                "reads/s": round(len(reads) / read_seconds) if reads else "",
                "writes/s": round(len(writes) / write_seconds) if writes else "",
                "evaluations/s": round(evaluations / (read_seconds + write_seconds)),
                "compiled in ms": milliseconds_to_compile(json.dumps({"rules": app.rules})),
            }
        )
    text = large_text()
    compiled = {"rules": f"all of them, again and again: {len(text):,} bytes", "compiled in ms": milliseconds_to_compile(text)}
    rows.append({name: compiled.get(name, "") for name in rows[0]})
    show(__doc__, rows)


def milliseconds_to_compile(text: str) -> float:
    return round(min(timed(lambda: parse_rules(text)) for _ in range(ROUNDS)) * 1000, 1)


def data() -> Any:
    many = range(1000)
    return {
        "users": {f"u{n}": {"notes": {"3": "x"}} for n in many},
        "members": {f"r{n}": {"u7": True, "u8": True} for n in many},
        "messages": {f"r{n}": {"m1": {"by": "u8", "text": "x", "at": NOW}} for n in many},
        "games": {f"g{n}": {"state": "on", "players": {"u7": True}, "positions": {"u7": {"x": 1, "y": 1}}} for n in many},
        "boards": {f"b{n}": {"turn": "u7"} for n in many},
        "posts": {f"p{n}": {"by": "u7", "text": "x"} for n in many},
        "status": {f"u{n}": {"on": False, "at": 1} for n in many},
        "stock": {f"i{n}": 5 for n in many},
        "teams": {f"t{n}": {"roles": {"u7": "editor"}, "docs": {"d7": {"title": "t", "rev": 8}}} for n in many},
    }


def seconds_of(decisions: list[Callable[[], bool]]) -> float:
    """For all of them once."""
    if not decisions:
        return 0.0
    count = DECISIONS // len(decisions)

    def work() -> None:
        for _ in range(count):
            for decide in decisions:
                decide()

    return min(timed(work) for _ in range(ROUNDS)) / count


def timed(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def large_text() -> str:
    """The apps again and again, each below a key of its own, until there are 200 kB."""
    rules: dict[str, Any] = {}
    while len(json.dumps(rules)) < 200_000:
        rules[f"copy{len(rules)}"] = {app.name.replace(" ", "-"): app.rules for app in APPS}
    return json.dumps({"rules": rules})


if __name__ == "__main__":
    main()
