"""The machine under the benchmark: what it is, and what processes use of it.

Reads /proc and asks git and pip's metadata; changes nothing. A figure without its machine, versions and commit is a rumour,
so every result carries `describe()`.
Does not know: which process is a server and which is load.
"""

from __future__ import annotations

import datetime
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from meadowlark.server.build import BUILD

ROOT = Path(__file__).resolve().parent.parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PRIORITY = -15
"""Niceness of servers and generators alike while they are measured: other programs have a thirtieth of their weight then."""
AUTOGROUP = Path("/proc/self/autogroup")
PACKAGES = ("uvloop", "picows", "httptools", "msgspec", "orjson")
"""Installed packages whose versions move the figures."""


class Usage(NamedTuple):
    """What some processes have used so far, summed."""

    cpu_seconds: float
    resident_bytes: int


def usage(pids: list[int]) -> Usage:
    """CPU time of all threads, and resident memory, of `pids` now."""
    return Usage(sum(_cpu_seconds(pid) for pid in pids), sum(_resident_bytes(pid) for pid in pids))


def busy_seconds() -> float:
    """CPU seconds that the whole machine has spent since its start, with what its host took away from it ("steal")."""
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Processes started inside run on these cores from their first instruction, with all the threads that they will have."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def children(pid: int) -> list[int]:
    """Direct children of a process, oldest first."""
    found = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return sorted(found)


def other_load(cores: int = os.cpu_count() or 1) -> float:
    """Share of the machine that was busy or stolen during the last moments, 0 to 1: high means that the figures are not ours."""
    return min(1.0, os.getloadavg()[0] / cores)


class Stalls(NamedTuple):
    """How the machine let processes wait that did nothing but look at the clock, one a core."""

    share: float  # of the time in gaps of over a millisecond
    longest_ms: float


def stalls(seconds: float = 3.0) -> Stalls:
    """What no server on this machine could do better: a p99 below such gaps is luck."""
    with multiprocessing.get_context("fork").Pool(os.cpu_count() or 1) as pool:
        gaps = pool.starmap(_spin, [(core, seconds) for core in sorted(os.sched_getaffinity(0))])
    return Stalls(round(max(sum(one) for one in gaps) / seconds, 4), round(max(max(one, default=0.0) for one in gaps) * 1e3, 1))


def _spin(core: int, seconds: float) -> list[float]:
    """Seconds of each gap of over a millisecond between two looks at the clock."""
    os.sched_setaffinity(0, {core})
    clock = time.perf_counter
    gaps = []
    before = clock()
    end = before + seconds
    while before < end:
        now = clock()
        if now - before > 0.001:
            gaps.append(now - before)
        before = now
    return gaps


@contextmanager
def ahead_of_others() -> Iterator[None]:
    """What is started inside goes before what else runs on the machine; where that is not permitted, results say so.

    The kernel may weigh sessions before processes (autogroup), and then shares the weight of one among the cores it uses: a
    generator that polls would halve its server's.
    """
    before, group = os.getpriority(os.PRIO_PROCESS, 0), _autogroup_niceness()
    try:
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
        if group is not None:
            AUTOGROUP.write_text(str(PRIORITY))
    except PermissionError:
        print(f"warning: only root may measure at niceness {PRIORITY}: other programs will show in the figures", file=sys.stderr)
    try:
        yield
    finally:
        with suppress(PermissionError):
            if group is not None:
                AUTOGROUP.write_text(str(group))
            os.setpriority(os.PRIO_PROCESS, 0, before)


def _autogroup_niceness() -> int | None:
    """Of this session; None where the kernel weighs processes alone."""
    try:
        return int(AUTOGROUP.read_text().rpartition(" ")[2])
    except (OSError, ValueError):
        return None


def is_memory_file_system(folder: Path) -> bool:
    """Whether a folder is in memory, where a sync costs nothing and durable figures would lie."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    resolved = folder.resolve()
    inside = [(len(point), kind) for point, kind in mounts if resolved.is_relative_to(point)]
    return max(inside)[1] in ("tmpfs", "ramfs") if inside else False


def cache_folder(name: str) -> Path:
    """A folder of that name for what may be made again, beside the checkout and ignored by git."""
    cache = ROOT / ".cache"
    (cache / name).mkdir(parents=True, exist_ok=True)
    (cache / ".gitignore").write_text("*\n")
    return cache / name


def describe() -> dict[str, Any]:
    """Machine, versions, commit and time, for the head of a result."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gigabytes": round(os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES / 2**30, 1),
        "kernel": platform.release(),
        "virtual": "hypervisor" in Path("/proc/cpuinfo").read_text(),
        "python": f"{platform.python_version()} of {sys.base_prefix}",
        "build": BUILD,
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--", "src", "bench/*.py", "bench/load.c")),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "load_average_before": round(os.getloadavg()[0], 2),
        "stalls": stalls()._asdict(),
    }


def changes_since(commit: str) -> int | None:
    """Commits that changed the source since `commit`; None if that cannot be told."""
    count = _git("rev-list", "--count", f"{commit}..HEAD", "--", "src")
    return int(count) if count.isdigit() else None


def _cpu_seconds(pid: int) -> float:
    try:  # To the nanosecond, where the kernel keeps it; its ticks are off by a tenth over seconds.
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except FileNotFoundError:
        pass
    # The name in parentheses may hold spaces; what follows it is counted from field 3 of proc(5).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _git(*arguments: str) -> str:
    answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    return answer.stdout.strip()
