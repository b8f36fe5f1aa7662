"""Writes requirements.lock and requirements-test.lock: every package, pinned and hashed.

The two locks are the only truth about versions; pyproject.toml says what would work, they say what is installed.
They name no registry, so pip takes the packages from wherever it is set up to. `requirements-test.lock` contains
`requirements.lock` whole, at the same versions (tests/test_packaging.py holds that). setuptools is in both, because the
project itself is built with the locked one.

Needs uv, and only here: `python3 tools/lock.py` (add `--upgrade` for the newest that pyproject.toml allows).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SERVE_LOCK = ROOT / "requirements.lock"
TEST_LOCK = ROOT / "requirements-test.lock"


def main(options: list[str]) -> None:
    """Resolve the larger set first, then the smaller one within it."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    with tempfile.NamedTemporaryFile("w", suffix=".in") as build_file:
        build_file.write("\n".join(build))
        build_file.flush()
        _compile(TEST_LOCK, ["pyproject.toml", build_file.name, "--extra", "test", *options])
        _compile(SERVE_LOCK, ["pyproject.toml", build_file.name, "--constraint", TEST_LOCK.name, *options])


def _compile(lock: Path, arguments: list[str]) -> None:
    command = ["uv", "pip", "compile", *arguments, "--output-file", lock.name, "--quiet"]
    command += ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-emit-index-url"]
    command += ["--custom-compile-command", "python3 tools/lock.py"]
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
