"""The fixtures as a user's pytest finds them: by the package's entry point, and with the server's output where a test fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import alive, eventually

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

def test_with_the_asynchronous_client(meadowlark_database):
    import asyncio
    from meadowlark.client import Database

    async def work():
        async with Database(meadowlark_database.url) as database:
            await database.ref("a").set(1)

    asyncio.run(work())
    assert meadowlark_database.get("/a") == 1

def test_it_fails(meadowlark_database, meadowlark_server):
    print("pid", meadowlark_server.pid)
    meadowlark_database.rules({".read": "auth.uid === 'anna'"})
    meadowlark_database.assert_allowed("read", "/", who="bert")
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    # Without a plugin for asyncio: neither the fixtures nor the clients need one.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-p",
        "no:anyio",
        "-W",
        "error",
        *arguments,
    ]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_a_users_tests_get_fresh_databases_and_failures_that_explain(tmp_path: Path):
    (tmp_path / "test_users.py").write_text(TESTS)
    printed, _ = start(tmp_path, "test_users.py").communicate(timeout=RUN_SECONDS)
    assert "3 passed" in printed, printed
    assert "1 failed" in printed
    assert "read / as 'bert' is denied, expected was allowed" in printed
    assert ".read at / (line " in printed
    assert "what the meadowlark server printed" in printed


PROCESSES = """
import os, pathlib, time

def test_that_meets_another_process(meadowlark_database, meadowlark_server):
    meadowlark_database.set("/who", os.getpid())
    (pathlib.Path(__file__).parent / f"{os.getpid()}.pid").write_text(f"{meadowlark_server.pid} {meadowlark_database.url}")
    deadline = time.monotonic() + 60
    while len(list(pathlib.Path(__file__).parent.glob("*.pid"))) < 2:
        assert time.monotonic() < deadline, "the other process is not there"
        time.sleep(0.02)
    assert meadowlark_database.get() == {"who": os.getpid()}
"""


@pytest.mark.slow
def test_processes_of_one_run_have_servers_of_their_own(tmp_path: Path):
    """As those of pytest-xdist: each has a session of its own, and so its fixtures."""
    (tmp_path / "test_users.py").write_text(PROCESSES)
    running = [start(tmp_path, "test_users.py") for _ in range(2)]
    printed = [process.communicate(timeout=RUN_SECONDS)[0] for process in running]
    assert all("1 passed" in text for text in printed), printed
    said = [file.read_text().split() for file in tmp_path.glob("*.pid")]
    assert len({pid for pid, _ in said}) == len({url for _, url in said}) == 2
    eventually(lambda: not any(alive(int(pid)) for pid, _ in said), what="both servers gone")


TYPED = """
from typing import assert_type
from meadowlark.client import blocking
from meadowlark.testing import NOBODY, Database, DevServer, User, fresh_database

def test_types(meadowlark_database: Database, meadowlark_server: DevServer) -> None:
    assert_type(meadowlark_database.client(who=User("anna", editor=True)), blocking.Database)
    assert_type(meadowlark_server.database("a"), Database)
    assert_type(meadowlark_database.push("/a", 1), str)
    meadowlark_database.assert_denied("read", "/", who=NOBODY)
    with fresh_database() as database:
        assert_type(database, Database)
"""
WRONG = """
from meadowlark.testing import Database

def test_types(meadowlark_database: Database) -> None:
    meadowlark_database.assert_denied("write", "/", who=3)
"""


@pytest.mark.slow
def test_users_tests_are_checked_by_their_types(tmp_path: Path):
    (tmp_path / "test_right.py").write_text(TYPED)
    (tmp_path / "test_wrong.py").write_text(WRONG)

    def check(name: str) -> str:
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
        return done.stdout + done.stderr

    assert "Success" in check("test_right.py")
    wrong = check("test_wrong.py")
    assert "has incompatible type \"Literal['write']\"" in wrong or '"str"; expected "Literal' in wrong, wrong
    assert '"who"' in wrong
    assert '"int"' in wrong


def test_the_plugin_loads_nothing_of_the_server_before_it_is_asked():
    program = "import sys, meadowlark.testing.plugin; print({'picows', 'uvloop', 'orjson', 'cryptography'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=RUN_SECONDS, check=True)
    assert done.stdout.strip() == "set()"


def test_the_package_does_not_need_pytest():
    program = "import sys; sys.modules['pytest'] = None; import meadowlark.testing, meadowlark.client"
    subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=RUN_SECONDS, check=True)
