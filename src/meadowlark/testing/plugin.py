"""Fixtures for pytest: `meadowlark_server`, one for the whole run, and `meadowlark_database`, a fresh one for each test.

Found by pytest through the entry point `pytest11` of the package. It is imported in every run where the package is installed, so
it costs as good as nothing until a fixture is asked for. A test that fails shows what the server printed meanwhile.
Source: docs/testing.md.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from meadowlark.testing.database import Database
    from meadowlark.testing.server import DevServer

_PRINTED = pytest.StashKey[int]()
"""Lines that the server had printed when a test's database was made."""


@pytest.fixture(scope="session")
def meadowlark_server() -> Iterator[DevServer]:
    """A `meadowlark dev` of this run, on a free port of loopback, with data that is thrown away."""
    from meadowlark.testing.server import DevServer

    with DevServer() as server:
        yield server


@pytest.fixture
def meadowlark_database(request: pytest.FixtureRequest, meadowlark_server: DevServer) -> Iterator[Database]:
    """A database that nobody has touched, named after the test."""
    request.node.stash[_PRINTED] = meadowlark_server.lines_printed
    with meadowlark_server.database(request.node.name) as database:
        yield database


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to the report of a failure what the server printed since the test began."""
    report = yield
    server = getattr(item, "funcargs", {}).get("meadowlark_server") if report.failed else None
    if server is not None:
        printed = server.output(since=item.stash.get(_PRINTED, 0))
        report.sections.append(("what the meadowlark server printed", printed or "nothing"))
    return report
