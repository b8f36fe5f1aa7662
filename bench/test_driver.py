"""The Node driver against a peer of its own process that misbehaves on purpose: it must see what load.c sees."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench import generator

DRIVER = Path(__file__).resolve().parent / "peers" / "driver.mjs"
PEER = """
const rooms = new Map();
let pushes = 0;
export async function connect({ room, heard }) {
  const members = rooms.get(room) ?? rooms.set(room, []).get(room);
  const own = members.push(heard) - 1;
  return {
    echoes: %(echoes)s,
    write: async (value) => {
      const number = ++pushes;
      await new Promise((done) => setTimeout(done, 1));
      members.forEach((tell, listener) => {
        if (!%(echoes)s && listener === own) return;
        for (let copies = (%(copies)s)(number, listener); copies > 0; copies--) tell(value);
      });
      if (%(refuses)s) throw new Error("no");
    },
  };
}
"""


def report_of(
    folder: Path, *, copies: str = "() => 1", echoes: str = "true", refuses: str = "false", drain: str = "20"
) -> dict[str, Any]:
    """Four clients in rooms of two, forty writes. drain: seconds for what has not come yet."""
    (folder / "fake.client.mjs").write_text(PEER % {"copies": copies, "echoes": echoes, "refuses": refuses})
    options = [
        "--connections",
        "4",
        "--room-size",
        "2",
        "--writes-per-second",
        "100",
        "--warmup",
        "0",
        "--seconds",
        "0.4",
        "--drain",
        drain,
    ]
    command = ["node", str(DRIVER), "--peer", str(folder / "fake"), "--port", "1", *options]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert answer.returncode == 0, answer.stderr
    report: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return report


def test_right_peer_is_reported_without_fault(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    assert (report["writes"], report["acknowledged"], report["deliveries"]) == (40, 40, 80)
    assert (report["deliveries_missing"], report["deliveries_extra"], report["listeners_mixed_up"]) == (0, 0, 0)
    assert report["delivered_ms"]["count"] == 80
    assert report["delivered_ms"]["max"] >= 1


def test_a_peer_that_does_not_echo_owes_a_writer_nothing(tmp_path: Path) -> None:
    report = report_of(tmp_path, echoes="false")
    assert (report["deliveries"], report["deliveries_missing"]) == (40, 0)


@pytest.mark.parametrize(
    ("copies", "fault"),
    [
        ("(number, listener) => number === 20 && listener === 0 ? 0 : 1", "deliveries_missing"),
        ("(number, listener) => number === 20 && listener === 0 ? 2 : 1", "deliveries_extra"),
    ],
)
def test_a_lost_or_doubled_push_is_noticed(tmp_path: Path, copies: str, fault: str) -> None:
    assert report_of(tmp_path, copies=copies, drain="3")[fault] == 1


def test_refusals_are_counted(tmp_path: Path) -> None:
    report = report_of(tmp_path, refuses="true")
    assert (report["refused"], report["acknowledged"], report["first_error"]) == (40, 0, "no")


def test_its_report_has_all_that_reports_are_merged_from(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    merged = generator.merge([report, report])
    assert merged["deliveries"] == 160
    assert merged["delivered_ms"]["count"] == 160
    # Rounded up to the bucket, never down.
    assert report["delivered_ms"]["max"] >= merged["delivered_ms"]["p50"] > 0
