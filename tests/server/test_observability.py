"""Metrics, `top`, slow log and profile of real servers: numbers move as what is done says, on every worker."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meadowlark.server.routing import owner_of
from tests.harness import PROJECT, Server, eventually, fresh_name
from tests.server.sockets import SECONDS, Socket

WORKERS = 2
_SAMPLE = re.compile(r"^(\w+)\{([^}]*)\} (\S+)$", re.MULTILINE)


class Metrics:
    """One answer of /metrics."""

    def __init__(self, text: str) -> None:
        self._samples = [
            (name, dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(number)) for name, labels, number in _SAMPLE.findall(text)
        ]

    def of(self, name: str, **labels: Any) -> float:
        """The sum of the samples of that name with these labels."""
        wanted = {label: str(value) for label, value in labels.items()}
        found = [number for each, has, number in self._samples if each == f"meadowlark_{name}" and wanted.items() <= has.items()]
        assert found, f"no sample {name} {labels}"
        return sum(found)


def get(server: Server, target: str, credential: str | None = None) -> tuple[int, str]:
    """Status and body of one GET, on a connection of its own."""
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def metrics(server: Server) -> Metrics:
    status, text = get(server, "/metrics", server.credential)
    assert status == 200, text
    return Metrics(text)


def name_on(worker: int) -> str:
    """A fresh database of that worker."""
    return next(name for name in iter(fresh_name, None) if owner_of(name, WORKERS) == worker)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data"), workers=WORKERS) as server:
        yield server


def moved(server: Server, before: Metrics, name: str, **labels: Any) -> float:
    return metrics(server).of(name, **labels) - before.of(name, **labels)


@pytest.mark.parametrize("worker", range(WORKERS))
def test_what_is_done_on_one_worker_is_counted_there_whoever_is_asked(server: Server, worker: int) -> None:
    """Each request of these is a connection of its own, so either worker may answer."""
    before, name = metrics(server), name_on(worker)
    one, two = Socket(server.port, name), Socket(server.port, name)
    for socket in (one, two):
        socket.ask("q", {"p": "/a", "h": ""})
    for number in range(20):
        assert one.ask("p", {"p": "/a", "d": number})["s"] == "ok"
    one.ask("g", {"p": "/a", "q": {}})
    assert server.read("/a", ns=name) == 19
    server.write("/a", 20, ns=name)
    expected = {
        ("operation_seconds_count", "operation", "set"): 20,
        ("operation_seconds_count", "operation", "listen"): 2,
        ("operation_seconds_count", "operation", "get"): 1,
        ("operation_seconds_count", "operation", "rest_get"): 1,
        ("operation_seconds_count", "operation", "rest_put"): 1,
        ("broadcast_seconds_count", "", ""): 21,
        ("acknowledged_seconds_count", "", ""): 21,
        ("deliveries_total", "", ""): 42,
        ("journal_records_total", "", ""): 21,
        ("connections", "kind", "realtime"): 2,
    }
    for (sample, label, value), number in expected.items():
        labels = {"worker": worker} | ({label: value} if label else {})
        eventually(
            lambda sample=sample, labels=labels, number=number: moved(server, before, sample, **labels) == number,
            what=f"{sample} {labels} is {number}",
        )
    after = metrics(server)
    assert after.of("databases", worker=worker) >= 1
    assert after.of("memory_bytes", worker=worker) > 10_000_000
    assert 0 < after.of("acknowledged_seconds_sum", worker=worker) < 60
    assert after.of("received_bytes_total", worker=worker) > before.of("received_bytes_total", worker=worker) + 20 * 50
    assert after.of("sent_bytes_total", worker=worker) > before.of("sent_bytes_total", worker=worker) + 60 * 30
    for socket in (one, two):
        socket.close()
    eventually(lambda: moved(server, before, "connections", worker=worker, kind="realtime") == 0, what="both are gone")
    eventually(lambda: moved(server, before, "operation_seconds_count", worker=worker, operation="leave") == 2)


def test_refusals_are_counted_by_code(server: Server) -> None:
    before, one = metrics(server), Socket(server.port, fresh_name())
    assert one.ask("p", {"p": "/a/b$c", "d": 1})["s"] != "ok"
    assert one.ask("x", {})["s"] != "ok"
    assert server.rest("PUT", "/a", ns=fresh_name(), raw=b"{").status == 400
    eventually(lambda: moved(server, before, "refused_total") == 3, what="three refusals")
    eventually(lambda: moved(server, before, "refused_total", code="invalid_path") == 1, what="one of them for its path")
    one.close()


def test_all_workers_are_up_and_their_loops_are_watched(server: Server) -> None:
    eventually(lambda: metrics(server).of("up") == WORKERS, what="all are up")
    before = metrics(server)
    eventually(
        lambda: all(moved(server, before, "loop_lag_seconds_count", worker=worker) > 20 for worker in range(WORKERS)),
        what="timers are looked at",
    )


def test_connections_that_another_worker_accepted_are_passed_on(server: Server) -> None:
    before = metrics(server)
    for _ in range(40):
        server.read("/", ns=fresh_name())
    eventually(lambda: moved(server, before, "accepted_connections_total") >= 40, what="all are counted")
    # Names go to workers by their hash and connections to whoever is free, so hardly all forty meet.
    eventually(lambda: moved(server, before, "passed_connections_total") > 0, what="some are passed on")
    assert moved(server, before, "passed_connections_total") <= 40


def test_streams_are_counted_while_they_last(server: Server) -> None:
    before = metrics(server)
    request = urllib.request.Request(f"{server.url}/a.json?ns={fresh_name()}", headers={"Accept": "text/event-stream"})
    with urllib.request.urlopen(request, timeout=SECONDS) as stream:
        assert stream.readline() == b"event: put\n"
        eventually(lambda: moved(server, before, "connections", kind="stream") == 1)
    eventually(lambda: moved(server, before, "connections", kind="stream") == 0)


def test_a_worker_that_was_replaced_begins_again_and_is_counted(tmp_path: Path) -> None:
    with Server(tmp_path, workers=WORKERS) as server:
        server.kill_worker(1)
        eventually(lambda: metrics(server).of("restarts_total", worker=1) == 1 and metrics(server).of("up") == WORKERS)
        assert metrics(server).of("restarts_total", worker=0) == 0


def test_in_serve_metrics_are_the_admins(tmp_path: Path) -> None:
    with Server(tmp_path, mode="serve") as server:
        for target in ("/metrics", "/.meadowlark/metrics.json"):
            assert get(server, target)[0] == 401
            assert get(server, target, "something-else-entirely")[0] == 401
            assert get(server, target, server.credential)[0] == 200
        eventually(lambda: metrics(server).of("refused_total") >= 4, what="these refusals are counted")


def test_slow_operations_are_logged_and_not_too_often(tmp_path: Path) -> None:
    with Server(tmp_path, arguments=("--slow-operation-seconds", "0.000001")) as server:
        one, key = Socket(server.port, "demo"), "-Nabcdefghijklmnopq"
        began = time.monotonic()
        for number in range(200):
            one.ask("p", {"p": f"/rooms/{key}/{number % 3}", "d": number})
        seconds = time.monotonic() - began
        one.close()
        eventually(lambda: "suppressed=" in server.output(), what="what was left out is told")
        lines = [line for line in server.output().splitlines() if "slow " in line]
        sets = [line for line in lines if "kind=set" in line]
        assert sets
        assert all("database=demo" in line and "/rooms/$key/" in line and "milliseconds=" in line for line in sets)
        assert key not in server.output()
        assert len(lines) <= 11 * (seconds + 4), "ten a second, and what was left out"
        assert metrics(server).of("slow_operations_total") >= 200


def test_a_profile_is_taken_where_the_database_is(server: Server) -> None:
    name = name_on(1)
    one = Socket(server.port, name)
    one.ask("q", {"p": "/rooms", "h": ""})
    taken: list[tuple[int, str]] = []
    taking = threading.Thread(
        target=lambda: taken.append(get(server, f"/.meadowlark/profile/{name}.json?seconds=2", server.credential))
    )
    taking.start()
    deadline = time.monotonic() + SECONDS
    number = 0
    while taking.is_alive():
        assert time.monotonic() < deadline
        # Many at a time, so that a second of a busy machine has enough of them.
        asked = [one.send("p", {"p": f"/rooms/{room}/count", "d": number}) for room in range(40)]
        assert one.answer_to(asked[-1])["s"] == "ok"
        number += len(asked)
    taking.join()
    one.close()
    status, text = taken[0]
    report = json.loads(text)
    assert (status, report["database"], report["seconds"]) == (200, name, 2.0)
    (line,) = report["paths"]
    assert (line["path"], list(line["operations"])) == ("/rooms/$wildcard/count", ["set"])
    assert 40 < line["operations"]["set"] <= number
    assert line["sent_bytes"] > 50 * line["operations"]["set"]


# `meadowlark top`


def top(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "meadowlark.cli", "top", *arguments]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MEADOWLARK_")}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=PROJECT, env=environment)


def test_top_shows_each_worker_and_all_of_a_server_by_its_url(server: Server) -> None:
    one = Socket(server.port, name_on(0))
    one.ask("q", {"p": "/a", "h": ""})
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            one.ask("p", {"p": "/a", "d": time.monotonic()})

    writing = threading.Thread(target=write)
    writing.start()
    try:
        done = top("--url", server.url, "--once", "--json")
    finally:
        stop.set()
        writing.join()
    one.close()
    assert done.returncode == 0, done.stderr
    busy, idle, both = json.loads(done.stdout)
    assert (busy["worker"], idle["worker"], both["worker"], both["up"]) == (0, 1, None, WORKERS)
    # How much depends on the machine, and what earlier tests did may still be in the idle worker's second.
    assert busy["messages_per_second"] > 0
    assert busy["deliveries_per_second"] > idle["deliveries_per_second"]
    assert 0 < busy["internal_p50"] <= busy["internal_p99"]
    assert 0 < busy["acknowledged_p50"] <= busy["acknowledged_p99"]
    assert busy["journal_sync_p99"] > 0
    assert both["memory_bytes"] == busy["memory_bytes"] + idle["memory_bytes"] > 20_000_000


def test_top_finds_a_server_by_its_folder_and_wants_its_credential(tmp_path: Path) -> None:
    with Server(tmp_path / "data", mode="serve") as server:
        done = top("--data", str(server.data), "--once", "--interval", "0.5")
        assert done.returncode == 0, done.stderr
        head, line = done.stdout.splitlines()
        assert head.split()[:2] == ["worker", "connections"]
        assert line.split()[0] == "0"
        refused = top("--data", str(server.data), "--credential-file", str(tmp_path / "none"), "--once")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "--credential-file" in refused.stderr
    gone = top("--data", str(server.data), "--once")
    assert (gone.returncode, gone.stdout) == (2, "")
    assert "did not answer" in gone.stderr
