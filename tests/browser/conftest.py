"""A browser, and a server for the pages: what the tests of this folder share.

Needs Chromium, the distribution's: MEADOWLARK_CHROMIUM names another one.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import node
from tests.harness import Server

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

REMEMBER_STATES = """() => {
    window.states = [];
    const { dataset } = document.querySelector('#status');
    const observed = new MutationObserver(() => states.push(dataset.connected));
    observed.observe(document.querySelector('#status'), { attributeFilter: ['data-connected'] });
}"""
"""For a page of an example: how its connection fared from then on stands in `states`, however briefly."""

__all__ = ["node"]


class Pages(http.server.SimpleHTTPRequestHandler):
    """A folder's files; modules from the conformance tests' installation, unless the folder has its own."""

    modules: Path

    def translate_path(self, path: str) -> str:
        if path.startswith("/node_modules/") and not (Path(self.directory) / "node_modules").is_dir():
            return str(self.modules / path.removeprefix("/node_modules/"))
        return super().translate_path(path)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def serving(folder: Path, modules: Path) -> Iterator[str]:
    """The address of `folder`, served over loopback."""
    Pages.modules = modules
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages, directory=str(folder))) as pages:
        thread = threading.Thread(target=pages.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{pages.server_address[1]}"
        pages.shutdown()
        thread.join(5)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(FLAGS) as running:
        yield running


@contextlib.contextmanager
def chromium(flags: list[str]) -> Iterator[Any]:
    """A browser. To be ended with its module, since it runs a loop that other tests would be in."""
    chromium = os.environ.get("MEADOWLARK_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("CHROMIUM IS MISSING: pages in a browser are NOT tested (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, headless=True, args=flags)
        yield running
        running.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data") as running:
        yield running
