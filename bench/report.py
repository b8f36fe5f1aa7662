"""From results to the document: plots as SVG, and the tables of docs/performance.md.

    python -m bench report

Reads bench/results/*.json, writes bench/results/*.svg and everything between the two marks in docs/performance.md: first the bar
(bar.py), then a table and, where there is something to see, a plot for each question. A result of an older source says so. It
measures nothing, so a document can be made again without running anything.
Does not know: how anything was measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import bar, machine
from bench.plot import Points, bars, lines

RESULTS = Path(__file__).resolve().parent / "results"
DOCUMENT = machine.ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- results: begin, written by python -m bench report -->", "<!-- results: end -->"

Result = dict[str, Any]
Plots = dict[str, str]
"""File name without its ending: SVG."""


def write(order: list[str]) -> None:
    """Makes plots and tables of all results there are, in the order of the questions."""
    results: dict[str, Result] = {}
    for name in order:
        file = RESULTS / f"{name}.json"
        if file.exists():
            results[name] = json.loads(file.read_text())
    parts = [_bar(results), *[_section(name, result) for name, result in results.items()]]
    text = DOCUMENT.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{DOCUMENT} lacks the marks between which results go: {BEGIN} and {END}")
    head, rest = text.split(BEGIN, 1)
    DOCUMENT.write_text(head + BEGIN + "\n" + "\n".join(parts) + END + rest.split(END, 1)[1])
    print(f"{len(results)} results are in {DOCUMENT.relative_to(machine.ROOT)}")


def _section(name: str, result: Result) -> str:
    plots = PLOTS[name](result) if name in PLOTS else {}
    for file, svg in plots.items():
        (RESULTS / f"{file}.svg").write_text(svg)
    images = "".join(f"![{file}](../bench/results/{file}.svg)\n" for file in plots)
    on = result["machine"]
    commit = on["commit"] + (" with changes" if on["changed"] else "")
    stale = _stale(result)
    if stale:
        commit += f" (**{stale}**)"
    return (
        f"### {result['question']}\n{markdown_table(result['rows'])}\n{images}\n"
        f"`{result['command']}` at {commit}, {on['date'][:10]}: {on['processor']}, "
        f"{on['cores']} cores, Linux {on['kernel']}, Python {on['python']}{_priority(on)}{_stalls(on)}. "
        f"Does not show: {result['not_shown']}\n"
    )


def _priority(on: Result) -> str:
    return f", everything measured at niceness {on['priority']}" if on.get("priority") else ""


def _stalls(on: Result) -> str:
    if "stalls" not in on:
        return ""
    return (
        f"; just before, a process that only looked at the clock was kept waiting over a millisecond for "
        f"{on['stalls']['share']:.1%} of the time, once for {on['stalls']['longest_ms']} ms"
    )


def _bar(results: dict[str, Result]) -> str:
    rows = bar.table(results, lambda result: ", ".join(filter(None, (result["machine"]["commit"], _stale(result)))))
    below = "On one machine, load generator included; durable, one worker where nothing else is said.\n"
    return f"### The bar, and where we are\n{markdown_table(rows)}\n{below}"


def _stale(result: Result) -> str:
    """That the source has changed since, if it has."""
    count = machine.changes_since(result["machine"]["commit"])
    if count is None:
        return "of an unknown source"
    return f"{count} change{'s' if count > 1 else ''} of the source since" if count else ""


def markdown_table(rows: list[Result]) -> str:
    """Rows as a table of Markdown."""
    if not rows:
        return "(nothing measured)\n"
    lines_ = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines_)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else " ".join(str(value).replace("|", "\\|").split())


# Plots


def columns(rows: list[Result], x: str, *ys: str) -> dict[str, Points]:
    """A series for each column of `ys` over column `x`."""
    return {y: [(float(row[x]), float(row[y])) for row in rows if row[y] != ""] for y in ys}


def _hot_room(result: Result) -> Plots:
    series = {
        f"{server}, {name}": points
        for server in dict.fromkeys(row["server"] for row in result["rows"])
        for name, points in columns(
            [row for row in result["rows"] if row["server"] == server], "deliveries/s", "delivered p50", "delivered p99"
        ).items()
    }
    return {"hot_room": lines("One room of 1,000", "deliveries a second", "ms", series, log_y=True)}


def _storm(result: Result) -> Plots:
    series = columns(result["rows"], "stormers", "stayed p50", "stayed p99", "worst second p99")
    return {
        "storm": lines(
            "Those who stay while others reconnect", "clients that reconnect at once", "delivered, ms", series, log_y=True
        )
    }


def _idle(result: Result) -> Plots:
    rows = [row for row in result["rows"] if row.get("server", "meadowlark") == "meadowlark"]
    points = [(float(row["connections"]), float(row["of a core"].rstrip("%"))) for row in rows]
    return {"idle": lines("Idle connections", "connections", "% of a core", {"worker": points})}


def _growth(result: Result) -> Plots:
    plots = {}
    for axis in ("connections", "bytes", "databases"):
        some = [one for one in result["details"] if one["axis"] == axis]
        costs = [
            (float(one["size"]), row["µs a delivery"]) for one in some for row in result["rows"] if row["what"] == one["what"]
        ]
        plots[f"growth_{axis}"] = lines(f"A delivery as {axis} grow", axis, "µs of CPU", {"µs a delivery": costs}, log_x=True)
    return plots


def _peers(result: Result) -> Plots:
    series = {}
    for one in result["details"]:
        if one["climbs"]:
            steps = [(step["writes_per_second_asked"], step["delivered_ms"]["p99"]) for step in one["climbs"][0]]
            series[one["peer"]] = sorted(steps)
    title = "Rooms of ten, 200 connections, one core each"
    return {"peers": lines(title, "writes a second", "delivered p99, ms", series, log_x=True, log_y=True)}


def _crowd(result: Result) -> Plots:
    series = columns(result["rows"], "connections", "delivered p50", "delivered p99", "acked p99", "back p99")
    return {"crowd": lines("A crowd on four workers", "connections", "ms", series, log_x=True, log_y=True)}


def _grouped(name: str, title: str, y: str, labels: tuple[str, ...], *ys: str) -> Callable[[Result], Plots]:
    """Bars for each row: `labels` are the columns that name it, `ys` those that are shown."""

    def plot(result: Result) -> Plots:
        rows = result["rows"]
        named = [", ".join(_label(row, label) for label in labels) for row in rows]
        series = {y: [_number(row.get(y)) for row in rows] for y in ys}
        return {name: bars(title, y, named, series)}

    return plot


_NAMING = ("meanwhile", "rules", "server", "way", "what")
"""Columns whose values speak for themselves."""


def _label(row: Result, column: str) -> str:
    return _cell(row[column]) + ("" if column in _NAMING else f" {column}")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


_DELIVERED = ("delivered p50", "delivered p99", "acked p99")
PLOTS: dict[str, Callable[[Result], Plots]] = {
    "rooms": _grouped("rooms", "Rooms of ten", "ms", ("server", "connections", "writes/s"), *_DELIVERED),
    "hot_room": _hot_room,
    "chat": _grouped("chat", "Chats of ten", "ms", ("server", "writes/s"), *_DELIVERED),
    "ruled": _grouped("ruled", "Rooms of ten, with rules", "ms", ("rules", "writes/s"), *_DELIVERED),
    "windows": _grouped(
        "windows", "Limited queries on 100,000 children", "ms", ("server",), "listen p50", "write p50", "heard p50", "get p50"
    ),
    "crowd": _crowd,
    "volatile": _grouped(
        "volatile", "Positions in rooms of ten", "ms", ("way", "connections"), "delivered p50", "delivered p99", "delivered max"
    ),
    "storm": _storm,
    "neighbour": _grouped("neighbour", "Beside a database that moves 50 MB", "ms", ("meanwhile",), *_DELIVERED),
    "flood": _grouped("flood", "Beside a flood", "ms", ("neighbour writes/s",), "small p50", "small p99", "acked p99"),
    "presence": _grouped("presence", "Coming and going", "ms", ("connections", "leave/s"), "left p50", "left p99", "joined p99"),
    "idle": _idle,
    "growth": _growth,
    "peers": _peers,
    "queries": _grouped("queries", "Under 1,000 queries", "µs or ms, see the table", ("what",), "p50", "p99"),
    "path": _grouped("path", "One write, our own code", "µs", ("what",), "p50", "p99"),
}
