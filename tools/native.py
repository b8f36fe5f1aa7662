"""Compiles the modules that every message passes through, with mypyc, into `build/native`.

That folder gets a copy of the package and the compiled modules in it; whoever has `build/native/src` first on its path runs
them, and `meadowlark.server.build` says so. The source stays what is read, tested and installed: `pip install` needs no compiler.
What is copied is compiled again only if a source has changed since.

The table below has what pays (bench/path.py). Not in it: modules that make msgspec's structs, which have to be ordinary
classes, and those whose classes are subclassed outside (Client, Receiver), which compiled classes do not allow.

Needs the test environment (mypy has mypyc) and a C compiler: `make native`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "meadowlark"
TARGET = ROOT / "build" / "native"
STAMP = TARGET / "stamp"

MODULES = (
    "engine/database.py",
    "engine/listeners.py",
    "engine/values.py",
    "engine/writing.py",
    "journal/group.py",
    "journal/index.py",
    "server/histogram.py",
    "server/lanes.py",
    "server/outbox.py",
    "server/shard.py",
    "server/stopwatch.py",
    "tree/export.py",
    "tree/paths.py",
    "wire/actions.py",
    "wire/assembly.py",
    "wire/pushes.py",
    "wire/realtime.py",
    "wire/replies.py",
    "wire/websocket.py",
)

SETUP = """\
from mypyc.build import mypycify
from setuptools import setup

modules = {modules!r}
options = ["--config-file", "mypy.ini", *modules]
setup(name="meadowlark-native", packages=[], ext_modules=mypycify(options, opt_level="2", group_name="meadowlark_native"))
"""

MYPY = """\
[mypy]
python_version = 3.11
ignore_missing_imports = True
"""


def main() -> None:
    digest = _digest()
    if STAMP.exists() and STAMP.read_text() == digest:
        print(f"native: {TARGET.relative_to(ROOT)} is up to date")
        return
    shutil.rmtree(TARGET, ignore_errors=True)
    package = TARGET / "src" / "meadowlark"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    (package.parent / "mypy.ini").write_text(MYPY)
    (package.parent / "setup.py").write_text(SETUP.format(modules=[f"meadowlark/{module}" for module in MODULES]))
    print(f"native: compiling {len(MODULES)} modules, which takes a minute", flush=True)
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=package.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"native: this could not be compiled; the source runs without it\n{done.stdout[-4000:]}")
    shutil.rmtree(package.parent / "build", ignore_errors=True)
    STAMP.write_text(digest)
    print(f"native: {TARGET.relative_to(ROOT)} is ready; use it with NATIVE=1, for example: make serve NATIVE=1")


def _digest() -> str:
    """Of all that the build is made of."""
    digest = hashlib.sha256(sys.version.encode())
    for file in (Path(__file__), ROOT / "requirements-test.lock", *sorted(SOURCE.rglob("*.py"))):
        digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
