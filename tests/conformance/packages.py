"""npm packages of a folder with a lock file, as locked: tools/bootstrap.py has installed them, or it is done now."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NPM_SECONDS = 540


def installed(folder: Path) -> Path:
    """`node_modules` of `folder`. Skips where there is no Node."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("NODE IS MISSING: the official JavaScript clients are NOT tested (install node 20 or newer and npm)")
    done = folder / "node_modules" / ".package-lock.json"
    if not done.exists() or done.stat().st_mtime < (folder / "package-lock.json").stat().st_mtime:
        npm = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=NPM_SECONDS,
            check=False,
        )
        assert npm.returncode == 0, f"npm ci failed:\n{npm.stdout}\n{npm.stderr}"
    return folder / "node_modules"
