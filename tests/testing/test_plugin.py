"""The fixtures as a user's pytest finds them: by the package's entry point, and with the server's output where a test fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN_SECONDS = 100

TESTS = """
names = set()

def test_it_is_fresh(meadowlark_database):
    names.add(meadowlark_database.name)
    assert meadowlark_database.get() is None
    meadowlark_database.set("/a", 1)

def test_it_is_another_one(meadowlark_database):
    names.add(meadowlark_database.name)
    assert len(names) == 2
    assert meadowlark_database.get() is None

def test_it_fails(meadowlark_database, meadowlark_server):
    print("pid", meadowlark_server.pid)
    meadowlark_database.rules({".read": "auth.uid === 'anna'"})
    meadowlark_database.assert_allowed("read", "/", who="bert")
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)


@pytest.mark.slow
def test_a_users_tests_get_fresh_databases_and_failures_that_explain(tmp_path: Path):
    (tmp_path / "test_users.py").write_text(TESTS)
    done = run(tmp_path, "test_users.py")
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "read / as 'bert' is denied, expected was allowed" in done.stdout
    assert ".read at / (line " in done.stdout
    assert "what the meadowlark server printed" in done.stdout


def test_the_plugin_loads_nothing_of_the_server_before_it_is_asked():
    program = "import sys, meadowlark.testing.plugin; print({'picows', 'uvloop', 'orjson', 'cryptography'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=RUN_SECONDS, check=True)
    assert done.stdout.strip() == "set()"


def test_the_package_does_not_need_pytest():
    program = "import sys; sys.modules['pytest'] = None; import meadowlark.testing, meadowlark.client"
    subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=RUN_SECONDS, check=True)
