"""The native build beside the pure one: the same load, in the same run, on the hot modules compiled (tools/native.py).

Compiles them if that is not done yet, which takes a minute. Where that fails, or where what measures is the native build
itself (NATIVE=1), there is no second row, and a line says so.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

from bench import machine
from bench.generator import Load
from bench.harness import Measured, under_load
from meadowlark.server.build import BUILD

NAME = "meadowlark, native"
SOURCE = machine.ROOT / "build" / "native" / "src"


@functools.cache
def source() -> Path | None:
    """Where the native build is, up to date; None where there is none to be had."""
    if BUILD == "native":
        print("what measures is the native build: there is no pure one beside it", file=sys.stderr)
        return None
    done = subprocess.run([sys.executable, str(machine.ROOT / "tools" / "native.py")], stdout=sys.stderr, check=False)
    return None if done.returncode else SOURCE


def under_native(load: Load, runs: int) -> Measured:
    """`harness.under_load`, for the native build; `source` has said that there is one."""
    return under_load(load, runs, source=source())
