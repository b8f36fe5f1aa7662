"""How many connections does one core carry that say ten times a second where they are, in rooms of ten?

One worker, security rules, nobody an admin. Each client listens to its room and writes its own place in it ten times a second;
all ten hear of it. Connections are added until half of the deliveries take 5 ms, or one in a hundred 50. *rule* is unchanged SDK
code under a rule: each write is acknowledged. *asked* is the write of our own clients, which nobody answers. *datagrams* is the
same over WebTransport, from a generator in Python, which encrypts and decrypts each packet as the server does.
`full` says whose core had no time left: where that is the generator, the delays are its own, and what the row says of the server
is what an update costs it. Bytes on the wire are those of the loopback device, both ways, with all headers and acknowledgements.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

from bench import machine, transport
from bench.generator import Load, Report
from bench.harness import Bench, Effort, Measured, Row, main, split_cores, watched_run, wrong
from bench.server import Server
from tests.conformance.certificates import make_certificate

RULES = '{"rules": {"rooms": {"$room": {".read": true, "$seat": {".write": true, ".volatile": true}}}}}'
HERTZ = 10
STEPS = (300, 500, 600, 700, 800, 1000)
STEPS_FULL = (1500, 2500, 5000)
WEBTRANSPORT_STEPS = (10, 20, 30, 50, 100, 200)
P50_MS_MAX, P99_MS_MAX = 5.0, 50.0
FULL_CORES = 0.93
"""Of one, from which on a process counts as having no time left."""
SYSCALLS_SECONDS = 1.0

DIALECTS = {"rule": "firebase", "asked": "volatile", "datagrams": "firebase"}
"""How the generator speaks; over WebTransport there is one way, and no option for it."""


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """Rows for each way of writing, until one is more than a core holds."""
    rows: list[Row] = []
    details: list[Any] = []
    for way in DIALECTS:
        steps = WEBTRANSPORT_STEPS if way == "datagrams" else STEPS + (STEPS_FULL if effort.full else ())
        for connections in steps:
            measured = _measure(way, connections, effort)
            row = _row(way, measured)
            rows.append(row)
            details.append(measured.runs)
            if row["held"] == "no":
                break
    return rows, details


def _measure(way: str, connections: int, effort: Effort) -> Measured:
    load = Load(
        connections=connections, writes_per_second=connections * HERTZ, dialect=DIALECTS[way], seconds=effort.seconds, drain=3
    )
    return Measured(load, [_run(way, load) for _ in range(effort.runs)])


def _run(way: str, load: Load) -> Report:
    flags: tuple[str, ...] = ()
    driver: tuple[str, ...] = ()
    if way == "datagrams":
        certificate, key = make_certificate(machine.cache_folder("volatile"), "127.0.0.1")
        flags = ("--webtransport", "--tls-certificate", str(certificate), "--tls-key", str(key))
        driver = (sys.executable, "-m", "bench.transport")
    with Server(cores=split_cores()[0], flags=flags) as server:
        _put_rules(server, "https" if driver else "http")
        counted: list[float] = []
        timer = threading.Timer(load.connections / load.connect_rate + load.warmup + 1.0, _count_syscalls, (server, counted))
        timer.start()
        wire: list[int] = []

        def usage() -> machine.Usage:
            wire.append(_loopback_bytes())
            return server.usage()

        report = watched_run(load, ["--host", server.host, "--port", str(server.port)], usage, driver=driver)
        timer.join()
    report["syscalls_per_second"] = counted[0] if counted else 0.0
    report["wire_bytes_per_second"] = (wire[-1] - wire[-2]) / load.seconds  # From `measuring` to `measured`.
    return report


def _loopback_bytes() -> int:
    """Received by the loopback device so far, which is what was sent."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[0])
    return 0


def _put_rules(server: Server, scheme: str) -> None:
    request = urllib.request.Request(
        f"{scheme}://{server.host}:{server.port}/.settings/rules.json?ns=bench",
        data=RULES.encode(),
        method="PUT",
        headers={"Authorization": f"Bearer {server.credential}"},
    )
    urllib.request.urlopen(request, timeout=10, context=transport.UNVERIFIED).close()


def _count_syscalls(server: Server, counted: list[float]) -> None:
    """System calls of the worker in a second of the measured part; nothing where perf may not look."""
    command = ["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", str(server.workers[0])]
    try:
        done = subprocess.run(
            [*command, "--", "sleep", str(SYSCALLS_SECONDS)], capture_output=True, text=True, timeout=20, check=False
        )
        counted.append(float(done.stderr.splitlines()[-1].split(",")[0]) / SYSCALLS_SECONDS)
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        return


def _row(way: str, measured: Measured) -> Row:
    load = measured.load
    p50, p99 = measured.median("delivered_ms", "p50"), measured.median("delivered_ms", "p99")
    updates = max(1.0, measured.median("writes_per_second"))
    deliveries = max(1.0, measured.median("deliveries_per_second"))
    missing = sum(wrong(run) for run in measured.runs)
    held = p50 < P50_MS_MAX and p99 < P99_MS_MAX and not missing
    server, generator = measured.median("server_cores"), measured.median("generator_cores")
    full = [name for name, cores in (("server", server), ("generator", generator)) if cores > FULL_CORES]
    return {
        "way": way,
        "connections": load.connections,
        "updates/s": round(updates),
        "deliveries/s": round(deliveries),
        "delivered p50": p50,
        "delivered p99": p99,
        "p99 of runs": measured.spread("delivered_ms", "p99"),
        "delivered max": measured.median("delivered_ms", "max"),
        "missing": missing,
        "µs CPU an update": round(server / updates * 1e6, 1),
        "µs CPU a delivery": round(server / deliveries * 1e6, 1),
        "system calls an update": round(measured.median("syscalls_per_second") / updates, 1),
        "bytes on the wire an update": round(measured.median("wire_bytes_per_second") / updates),
        "bytes a delivery": round(measured.median("read_bytes") / max(1.0, measured.median("deliveries"))),
        "deliveries a read": round(measured.median("deliveries") / max(1.0, measured.median("reads")), 2),
        "server core": server,
        "generator": generator,
        "µs generator a delivery": round(generator / deliveries * 1e6, 1),
        "full": " and ".join(full),
        "late p99": measured.median("sent_late_ms", "p99"),
        "held": "yes" if held else "no",
    }


BENCH = Bench(
    name="volatile",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="a network (everything is loopback), loss, slow clients, more than one worker; for WebTransport, a generator as "
    "fast as the server.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
