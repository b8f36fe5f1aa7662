"""The package itself: its types hold, its own tests pass, and it is as small as it says."""

from __future__ import annotations

import re
import subprocess

from tests.js.conftest import FOLDER


def test_it_is_under_15_kb_gzipped(built: str) -> None:
    found = re.search(r"dist/index.js: (\d+) bytes gzipped", built)
    assert found
    assert 5_000 < int(found[1]) <= 15 * 1024


def test_its_own_tests_pass(built: str) -> None:
    done = subprocess.run(["node", "--test", "test/"], cwd=FOLDER, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout
    assert "# fail 0" in done.stdout
