"""What is installed: the locks, the package, and how a bare machine gets pip."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import meadowlark

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)(?: ; (?P<marker>.+?))? \\$", re.MULTILINE | re.IGNORECASE)


def pins(name: str) -> dict[str, str]:
    """The versions that a lock pins, by package."""
    return {canonicalize_name(found[1]): found[2] for found in PIN.finditer((ROOT / name).read_text())}


# Locks


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-test.lock"])
def test_locks_name_no_registry(lock):
    assert not re.search(r"://|--index|--find-links|@ ", (ROOT / lock).read_text())


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-test.lock"])
def test_every_pin_has_its_hashes(lock):
    entries = re.split(r"^(?=[a-zA-Z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) == len(pins(lock))
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_lock_of_tests_contains_the_one_of_the_server():
    assert pins("requirements.lock").items() <= pins("requirements-test.lock").items()


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("requirements.lock", PROJECT["dependencies"]),
        ("requirements-test.lock", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]),
    ],
)
def test_locks_have_what_the_project_asks_for(lock, requirements):
    pinned = pins(lock)
    for requirement in map(Requirement, requirements):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_what_is_used_here_is_what_is_locked():
    for name in ("msgspec", "orjson", "picows", "uvloop"):
        assert version(name) == pins("requirements.lock")[name]


# The package


def test_the_version_is_said_once():
    assert PROJECT["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", meadowlark.__version__)


def test_every_folder_of_the_source_is_a_package():
    folders = {path.parent for path in (ROOT / "src").glob("meadowlark/**/*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


# The bootstrap


@pytest.fixture
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "tools" / "bootstrap.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of an index that pip is set up for; files in it are served."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Handler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        yield tmp_path
        server.shutdown()
        thread.join()


def offer(index: Path, name: str, content: bytes) -> None:
    (index / "simple" / "pip").mkdir(parents=True)
    (index / "simple" / "pip" / "index.html").write_text(f'<a href="../../files/{name}#sha256=00">{name}</a>')
    (index / "files").mkdir()
    (index / "files" / name).write_bytes(content)


def test_pip_comes_from_the_index_that_pip_is_set_up_for(bootstrap, index, monkeypatch):
    monkeypatch.setattr(bootstrap, "PIP_SHA256", hashlib.sha256(b"a wheel").hexdigest())
    offer(index, bootstrap.PIP_WHEEL, b"a wheel")
    assert bootstrap.fetch_pip() == b"a wheel"


def test_a_pip_with_another_hash_is_not_used(bootstrap, index):
    offer(index, bootstrap.PIP_WHEEL, b"another wheel")
    with pytest.raises(SystemExit, match="wrong hash"):
        bootstrap.fetch_pip()


def test_an_index_without_that_pip_is_said(bootstrap, index):
    offer(index, "pip-1.0-py3-none-any.whl", b"a wheel")
    with pytest.raises(bootstrap.Failed, match=f"has no {bootstrap.PIP_WHEEL}"):
        bootstrap.fetch_pip()


def test_pips_own_configuration_is_read(bootstrap, tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://mirror.example/simple\n")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert bootstrap.setting("index-url", "PIP_INDEX_URL") == "https://mirror.example/simple"


def test_a_changed_lock_makes_a_new_stamp(bootstrap, tmp_path, monkeypatch):
    for name in ("requirements.lock", "pyproject.toml", "tools/bootstrap.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    monkeypatch.setattr(bootstrap, "ROOT", str(tmp_path))
    before = bootstrap.stamp_of("serve")
    assert bootstrap.stamp_of("serve") == before
    (tmp_path / "requirements.lock").write_text("y")
    assert bootstrap.stamp_of("serve") != before


def test_the_bootstrap_can_be_read_by_old_pythons():
    """Syntax of Python 3.6, so that it can say which Python is needed."""
    source = (ROOT / "tools" / "bootstrap.py").read_text()
    compile(source, "bootstrap.py", "exec")
    assert "from __future__ import annotations" not in source
    assert ":=" not in source
    assert not re.search(r"^\s*match .*:$|-> ", source, re.MULTILINE)
