"""The rule against skips, tried on small test files in a run of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py").read_text()


@pytest.fixture
def outcome(tmp_path: Path):
    """Runs pytest on `source` and gives its exit code and its words."""

    def run(source: str, no_skips: str) -> tuple[int, str]:
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "test_it.py").write_text("import pytest\n" + source)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"MEADOWLARK_NO_SKIPS": no_skips},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    return run


SKIPPED = "def test_it():\n    pytest.skip('no chromium')\n"
SKIPPED_MODULE = "pytest.skip('no node', allow_module_level=True)\n"
EXPECTED_FAILURE = "@pytest.mark.xfail(strict=True)\ndef test_it():\n    assert False\n"


def test_skips_are_skips_by_default(outcome):
    assert outcome(SKIPPED, "")[0] == 0


def test_a_skipped_test_fails_where_skips_are_forbidden(outcome):
    code, words = outcome(SKIPPED, "1")
    assert code == 1
    assert "1 failed" in words
    assert "no chromium" in words


def test_a_module_that_skips_itself_fails_where_skips_are_forbidden(outcome):
    code, words = outcome(SKIPPED_MODULE, "1")
    assert code != 0
    assert "no node" in words


def test_an_expected_failure_is_no_skip(outcome):
    assert outcome(EXPECTED_FAILURE, "1")[0] == 0
