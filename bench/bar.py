"""The bar: what we set out to reach, and whether the results say that it is reached.

Each row is a sentence, the question that answers it, and how to read the answer. A row whose question was not asked at
that size says so. `table` is what `python -m bench report` writes: nobody copies figures by hand.
Does not know: how anything is measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

Result = dict[str, Any]
UNRULED, RULED = "no rules, an admin", "rules of an app, signed in"
"""Rows of the question `ruled`."""

Verdict = tuple[bool, str] | None
"""Whether it is reached, with the figures; None: that was not measured."""


@dataclasses.dataclass(frozen=True)
class Bar:
    """One row."""

    wanted: str
    question: str
    command: str
    read: Callable[[list[Result]], Verdict]
    """Of the rows of that question's result."""


def table(results: dict[str, Result], note: Callable[[Result], str]) -> list[Result]:
    """The rows for the document. note: what there is to say of a result beside its figures."""
    return [_row(bar, results.get(bar.question), note) for bar in BARS]


def _row(bar: Bar, result: Result | None, note: Callable[[Result], str]) -> Result:
    verdict = bar.read(result["rows"]) if result else None
    if result is None or verdict is None:
        reached = "not measured"
    else:
        reached = f"**{'yes' if verdict[0] else 'no'}**: {verdict[1]} ({note(result)})"
    return {"bar": bar.wanted, "command": f"`{bar.command}`", "reached": reached}


def _find(rows: list[Result], **wanted: Any) -> Result | None:
    return next((row for row in rows if all(row.get(name) == value for name, value in wanted.items())), None)


NATIVE = "meadowlark, native"


def _ours(rows: list[Result], **wanted: Any) -> list[Result]:
    """One for each build that was measured, the pure one first."""
    ours = [row for row in rows if row.get("server", "meadowlark") in ("meadowlark", NATIVE)]
    return sorted((row for row in ours if _find([row], **wanted)), key=lambda row: row.get("server") == NATIVE)


def _by_build(rows: list[Result], say: Callable[[Result], str]) -> str:
    """What each build reached, in words."""
    return "; ".join(("native build: " if row.get("server") == NATIVE else "") + say(row) for row in rows)


def _floor(rows: list[Result], row: Result) -> str:
    """What the relay in C did with the load of `row`, in words."""
    for other in rows:
        same = all(other[name] == row[name] for name in ("connections", "writes/s"))
        if same and not _ours([other]):
            wrong = f", {other['missing']:,} missing" if other["missing"] else ""
            return f"; the floor there, a {other['server']}: {other['delivered p50']} and {other['p99 of runs']} ms{wrong}"
    return ""


def _rooms(rows: list[Result]) -> Verdict:
    ours = _ours(rows, connections=10_000)
    if not ours:
        return None
    text = _by_build(ours, lambda row: f"{row['delivered p50']} and {row['p99 of runs']} ms, acknowledged {row['acked p99']} ms")
    held = any(row["delivered p50"] < 0.3 and row["delivered p99"] < 3 and row["acked p99"] < 10 for row in ours)
    return held, text + _floor(rows, ours[0])


def _busy_rooms(rows: list[Result]) -> Verdict:
    ours = _ours(rows, **{"connections": 1000, "writes/s": 10_000})
    if not ours:
        return None
    text = _by_build(
        ours, lambda row: f"{row['deliveries/s']:,} deliveries a second at {row['p99 of runs']} ms, {row['missing']:,} missing"
    )
    return any(row["delivered p99"] < 5 and not row["missing"] for row in ours), text + _floor(rows, ours[0])


def _crowd(rows: list[Result]) -> Verdict:
    ours = _ours(rows, connections=75_000)
    if not ours:
        return None
    text = _by_build(
        ours,
        lambda row: (
            f"{row['delivered p50']} and {row['delivered p99']} ms, {row['missing']:,} missing, "
            f"{row['kB a connection']} kB a connection"
        ),
    )
    return any(row["delivered p50"] < 1 and row["delivered p99"] < 50 and not row["missing"] for row in ours), text


def _hot_room(rows: list[Result]) -> Verdict:
    held = [row for row in _ours(rows) if row["delivered p99"] < 20 and not row["missing"]]
    best = max(held, key=lambda row: float(row["deliveries/s"]), default=None)
    most = max(row["writes/s"] for row in _ours(rows))
    heaviest = _ours(rows, **{"writes/s": most})
    text = f"{best['deliveries/s']:,} held; " if best else "none held; "
    text += _by_build(heaviest, lambda row: f"{row['deliveries/s']:,} at {row['p99 of runs']} ms")
    return best is not None and best["deliveries/s"] >= 499_000, text + _floor(rows, heaviest[0])


def _neighbour(rows: list[Result]) -> Verdict:
    worst = max(rows, key=lambda row: float(row["delivered p99"] or 0))
    return float(worst["delivered p99"]) < 10, f"at most {worst['delivered p99']} ms: {worst['meanwhile']}"


def _flood(rows: list[Result]) -> Verdict:
    worst = max(rows, key=lambda row: float(row["small p99"]))
    return worst["small p99"] < 10, f"at most {worst['small p99']} ms, beside {worst['neighbour writes/s']:,} writes/s"


def _volatile(rows: list[Result]) -> Verdict:
    held = [row for row in rows if row["held"] == "yes" and row["way"] != "datagrams"]
    best = max(held, key=lambda row: int(row["connections"]), default=None)
    if best is None:
        return (False, "none held") if rows else None
    text = f"{best['connections']:,} at {best['delivered p50']} and {best['delivered p99']} ms"
    return best["connections"] >= 5_000 and best["delivered p50"] < 5 and best["delivered p99"] < 50, text


def _idle(rows: list[Result]) -> Verdict:
    ours = _ours(rows, connections=18_000)
    if not ours:
        return None
    share = ours[0]["of a core"]
    floor = next((row for row in rows if row not in ours and row["connections"] == 18_000), None)
    text = f"{share}; the floor there, a {floor['server']}: {floor['of a core']}" if floor else share
    return float(share.rstrip("%")) < 2, text


def _connection_bytes(rows: list[Result]) -> Verdict:
    costs = [_number(row["cost"]) for row in rows if "connections" in row["what"]]
    return (max(costs) < 12_000, f"at most {max(costs):,.0f} bytes") if costs else None


def _json_bytes(rows: list[Result]) -> Verdict:
    costs = [_number(row["cost"]) for row in rows if "byte of JSON" in row["cost"]]
    return (max(costs) <= 2, f"at most {max(costs):.2f}") if costs else None


def _peers(kind: str) -> Callable[[list[Result]], Verdict]:
    def read(rows: list[Result]) -> Verdict:
        judged = [row for row in rows if str(row.get("bar", "")).startswith(kind)]
        text = ", ".join(f"{row['x less']} times {row['peer']}" for row in judged)
        if all(row.get("native") for row in judged):
            text += "; native build: " + ", ".join(f"{row['native']} times {row['peer']}" for row in judged)
        return (all(row["bar"].endswith("yes") for row in judged), text) if judged else None

    return read


def _ruled(rows: list[Result]) -> Verdict:
    ruled = [(int(row["over"].split()[0]), row["connections"]) for row in rows if row["rules"] == RULED]
    text = ", ".join(f"{over:+d} % of {connections:,} connections" for over, connections in ruled)
    return (max(over for over, _ in ruled) < 15, text) if ruled else None


def _ruled_rooms(rows: list[Result]) -> Verdict:
    row, without = (_find(rows, rules=rules, connections=10_000) for rules in (RULED, UNRULED))
    if row is None or without is None:
        return None
    p50, p99, acked = row["delivered p50"], row["delivered p99"], row["acked p99"]
    beside = f"{without['delivered p50']} and {without['p99 of runs']} ms, acknowledged {without['acked p99']} ms"
    text = f"{p50} and {row['p99 of runs']} ms, acknowledged {acked} ms; without rules in the same run {beside}"
    return p50 < 0.3 and p99 < 3 and acked < 10, text


def _number(text: str) -> float:
    return float(text.split()[0].replace(",", ""))


BARS = (
    Bar(
        "10,000 connections in rooms of ten, 2,000 writes/s: delivered p50 < 0.3 ms, p99 < 3 ms, acknowledged p99 < 10 ms",
        "rooms",
        "rooms --full",
        _rooms,
    ),
    Bar("1,000 connections, 10,000 writes/s to ten listeners each: delivered p99 < 5 ms", "rooms", "rooms --full", _busy_rooms),
    Bar("75,000 connections over four workers, typical behaviour: p50 < 1 ms, p99 < 50 ms", "crowd", "crowd --full", _crowd),
    Bar("a room of 1,000: 500,000 deliveries a second on one core, p99 < 20 ms", "hot_room", "hot_room", _hot_room),
    Bar("five times the writes of databases like it, at their durability or more", "peers", "peers", _peers("5x")),
    Bar("never behind Socket.IO", "peers", "peers", _peers("1x")),
    Bar("beside a database that moves 50 MB at a time, p99 < 10 ms", "neighbour", "neighbour", _neighbour),
    Bar("beside one that receives more than a core can do, p99 < 10 ms", "flood", "flood", _flood),
    Bar(
        "5,000 connections that each write a volatile value ten times a second, on one core: p50 < 5 ms, p99 < 50 ms",
        "volatile",
        "volatile",
        _volatile,
    ),
    Bar("rules add less than 15 % to rooms, in processor time", "ruled", "ruled --full", _ruled),
    Bar("the bar for rooms holds with the rules of an app too, each client signed in", "ruled", "ruled --full", _ruled_rooms),
    Bar("18,000 idle connections under 2 % of a core", "idle", "idle --full --seconds 60", _idle),
    Bar("under 12 kB for an idle connection", "memory", "memory", _connection_bytes),
    Bar("at most 2 bytes for a byte of JSON", "memory", "memory", _json_bytes),
)
