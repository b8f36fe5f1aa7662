"""Plots and tables: what is in the results is in them, and they can be read."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import bar, report
from bench.harness import table
from bench.peer import FOLDER, PEERS
from bench.plot import bars, lines

SVG = "{http://www.w3.org/2000/svg}"
MACHINE = {
    "commit": "c0ffee1",
    "changed": False,
    "date": "2026-11-23T00:00:00",
    "processor": "P",
    "cores": 2,
    "kernel": "6",
    "python": "3.11",
    "stalls": {"share": 0.012, "longest_ms": 12.5},
}
STEP = {"writes_per_second_asked": 200, "delivered_ms": {"p99": 1.5}}


def drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def dots(svg: str) -> list[tuple[float, float]]:
    return [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in drawn(svg).iter(f"{SVG}circle")]


def test_more_is_further_right_and_higher_up() -> None:
    first, second = dots(lines("t", "x", "y", {"a": [(1, 10), (2, 20)]}))
    assert first[0] < second[0]
    assert first[1] > second[1]  # SVG counts downwards


def test_equal_factors_are_equal_distances_on_logarithmic_axes() -> None:
    places = dots(lines("t", "x", "y", {"a": [(1, 1), (10, 100), (100, 10_000)]}, log_x=True, log_y=True))
    assert places[1][0] - places[0][0] == pytest.approx(places[2][0] - places[1][0], abs=0.2)
    assert places[1][1] - places[0][1] == pytest.approx(places[2][1] - places[1][1], abs=0.2)


def test_what_a_logarithmic_axis_cannot_show_is_left_out() -> None:
    assert len(dots(lines("t", "x", "y", {"a": [(1, 0), (2, 5)], "b": [(1, 0)]}, log_y=True))) == 1


@pytest.mark.parametrize(
    "series", [{}, {"a": []}, {"a": [(3.0, 3.0)]}, {"a": [(0.0, 0.0)]}], ids=["none", "empty", "one", "zero"]
)
def test_little_to_plot_is_no_error(series: dict[str, list[tuple[float, float]]]) -> None:
    for logarithmic in (True, False):
        drawn(lines("t", "x", "y", series, log_x=logarithmic, log_y=logarithmic))


def test_names_may_have_any_letters() -> None:
    texts = [text.text for text in drawn(lines("<a> & b", "x", "y", {"c < d": [(1, 1)]})).iter(f"{SVG}text")]
    assert "<a> & b" in texts
    assert "c < d" in texts


def test_the_document_gets_the_results_between_its_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"# P\nbefore\n{report.BEGIN}\nwhat was there\n{report.END}\nafter\n")
    rows = [{"peer": "a|b", "held writes/s": 12_000}]
    result = {"question": "Who?", "not_shown": "much.", "command": "python -m bench peers", "machine": MACHINE, "rows": rows}
    result["details"] = [{"peer": "a|b", "climbs": [[STEP]]}]
    (tmp_path / "peers.json").write_text(json.dumps(result))
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "DOCUMENT", document)
    monkeypatch.setattr(report.machine, "ROOT", tmp_path)
    for _ in range(2):  # Again: the same.
        report.write(["peers", "rooms"])
    text = document.read_text()
    assert text.startswith("# P\nbefore\n")
    assert "for 1.2% of the time, once for 12.5 ms" in text
    assert text.endswith(f"{report.END}\nafter\n")
    assert "what was there" not in text
    assert text.count("### Who?") == 1
    assert "| a\\|b | 12,000 |" in text
    assert "../bench/results/peers.svg" in text
    assert len(dots((tmp_path / "peers.svg").read_text())) == 1


def test_a_document_without_marks_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "performance.md"
    document.write_text("# P\n")
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "DOCUMENT", document)
    with pytest.raises(SystemExit, match="marks"):
        report.write(["peers"])
    assert document.read_text() == "# P\n"


def test_tables_show_rows_of_numbers_and_texts() -> None:
    assert table([{"a": 1000, "b": "x"}]).split() == ["a", "b", "1,000", "x"]


def test_each_peer_can_be_driven_and_says_what_it_does_not_do() -> None:
    assert len({peer.name for peer in PEERS}) == len(PEERS)
    for peer in PEERS:
        assert peer.lacks
        assert peer.keeps
        assert peer.dialect or (FOLDER / f"{peer.name}.client.mjs").exists()


def test_versions_of_peers_are_exact_and_the_lock_names_no_registry() -> None:
    package = json.loads((FOLDER / "package.json").read_text())
    assert all(version[0].isdigit() or version == "file:./absent" for version in package["dependencies"].values())
    lock = json.loads((FOLDER / "package-lock.json").read_text())
    assert {one["resolved"] for one in lock["packages"].values() if "resolved" in one} == {"absent"}
    assert all("==" in line for line in (FOLDER / "requirements.txt").read_text().split())


def test_bars_are_as_long_as_their_values_are_large() -> None:
    drawing = drawn(bars("t", "ms", ["one", "two"], {"p50": [1.0, 10.0], "p99": [None, 100.0]}))
    widths = [float(box.attrib["width"]) for box in drawing.iter(f"{SVG}rect") if box.attrib["height"] == "12"]
    assert len(widths) == 3  # What has no value has no bar.
    assert widths[0] < widths[1] < widths[2]


def test_the_bar_is_judged_by_the_results() -> None:
    def reached(rows: list[report.Result], question: str) -> list[str]:
        judged = bar.table({question: {"rows": rows}}, lambda _: "c0ffee1")
        return [row["reached"] for row in judged if row["reached"] != "not measured"]

    idle = {"connections": 18_000, "of a core": "1.9%"}
    assert reached([idle], "idle") == ["**yes**: 1.9% (c0ffee1)"]
    assert reached([idle | {"connections": 100}], "idle") == []
    floor = idle | {"server": "relay in C", "of a core": "1.4%"}
    said = "**no**: 2.3%; the floor there, a relay in C: 1.4% (c0ffee1)"
    assert reached([idle | {"of a core": "2.3%"}, floor], "idle") == [said]
    peers = [{"peer": "a", "bar": "5x: yes", "x less": 6.1}, {"peer": "b", "bar": "5x: no", "x less": 2.0}]
    assert reached(peers, "peers") == ["**no**: 6.1 times a, 2.0 times b (c0ffee1)"]
    assert reached([], "rooms") == []
    one = {
        "connections": 10_000,
        "writes/s": 2000,
        "delivered p50": 0.2,
        "delivered p99": 4.0,
        "p99 of runs": "3-5",
        "acked p99": 8.0,
    }
    rooms = [{"server": "meadowlark", **one, "missing": 0}, {"server": "relay in C", **one, "p99 of runs": "1-9", "missing": 2}]
    floor = "; the floor there, a relay in C: 0.2 and 1-9 ms, 2 missing"
    assert reached(rooms, "rooms") == [f"**no**: 0.2 and 3-5 ms, acknowledged 8.0 ms{floor} (c0ffee1)"]


def test_rules_have_two_bars_of_one_question() -> None:
    """What they cost at every load, and the latency at the load of the rooms."""
    one = {"delivered p50": 0.2, "delivered p99": 2.5, "p99 of runs": "2-3", "acked p99": 9.0}

    def reached(*rows: report.Result) -> list[str]:
        judged = bar.table({"ruled": {"rows": list(rows)}}, lambda _: "c0ffee1")
        return [row["reached"] for row in judged if row["reached"] != "not measured"]

    few = [{"rules": bar.UNRULED, "over": "+0 %", "connections": 1000}, {"rules": bar.RULED, "over": "+9 %", "connections": 1000}]
    assert reached(*few) == ["**yes**: +9 % of 1,000 connections (c0ffee1)"]
    many, same = [row | one | {"connections": 10_000} for row in few], "0.2 and 2-3 ms, acknowledged 9.0 ms"
    assert reached(*few, many[0], many[1] | {"over": "+16 %"}) == [
        "**no**: +9 % of 1,000 connections, +16 % of 10,000 connections (c0ffee1)",
        f"**yes**: {same}; without rules in the same run {same} (c0ffee1)",
    ]
    assert reached(*few, many[0], many[1] | {"acked p99": 11.0})[1].startswith("**no**")


def test_each_bar_can_be_asked_for() -> None:
    asked = (FOLDER.parent / "__main__.py").read_text()
    assert all(f"{one.question}.BENCH" in asked for one in bar.BARS)
    assert all(row["reached"] == "not measured" for row in bar.table({}, lambda _: ""))
