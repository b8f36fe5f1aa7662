"""The one rule on which the other qualities rest: who may import whom. Read from the source with `ast`.

The table is that of docs/architecture.md "Layers" (tests/test_docs.py holds them equal).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

GROUND = {"errors", "limits", "ids"}
EVERYTHING = None

LAYERS: dict[str, set[str] | None] = {
    "errors": set(),
    "limits": set(),
    "ids": {"errors", "limits"},
    "tree": GROUND,
    "query": GROUND | {"tree"},
    "rules": GROUND | {"tree"},
    "auth": {"errors", "limits"},
    "engine": GROUND | {"tree", "query", "rules", "auth.identity"},
    "journal": GROUND,
    "wire": GROUND | {"tree", "auth.identity", "engine", "query"},
    "client": EVERYTHING,
    "cluster": EVERYTHING,
    "server": EVERYTHING,
    "testing": EVERYTHING,
    "cli": EVERYTHING,
}
"""What each layer may import of ours, by the first part of the name (or two parts, for one module of a layer)."""

RIM = {"server", "client", "cluster", "testing", "cli"}
WORLD = {
    "asyncio", "concurrent", "fcntl", "http", "mmap", "multiprocessing", "os", "pathlib", "random", "secrets", "select",
    "selectors", "shutil", "signal", "socket", "socketserver", "ssl", "subprocess", "tempfile", "threading", "time", "urllib",
    "uvloop", "picows", "structlog", "typer",
}  # fmt: skip
"""Modules with sockets, files, clocks, chance, threads or `async`: they belong to the rim."""

WORLD_ALLOWED = {
    "journal/committer.py": {"threading"},
    "journal/journal.py": {"threading"},
}
"""The one thread of the pure part: the journal's committer. The file seam it writes through is the rim's."""

PURE_PARTS = {"urllib.parse"}
"""Parts of such modules that only compute."""

MODULES = sorted(SOURCE.glob("meadowlark/**/*.py"))


def name_of(module: Path) -> str:
    return module.relative_to(SOURCE / "meadowlark").as_posix()


def layer_of(module: Path) -> str:
    return module.relative_to(SOURCE / "meadowlark").parts[0].removesuffix(".py")


def imports(source: str) -> Iterator[str]:
    """Full names of what is imported, wherever in the module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def allowed(layer: str, imported: str) -> bool:
    """Whether `layer` may import `imported`, the full name of something of ours."""
    parts = imported.split(".")[1:]
    permitted = LAYERS[layer]
    return permitted is EVERYTHING or parts[0] == layer or parts[0] in permitted or ".".join(parts[:2]) in permitted


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_module_imports_only_what_its_layer_may_know(module):
    layer = layer_of(module)
    if layer == "__init__":
        return
    ours = [name for name in imports(module.read_text()) if name.split(".")[0] == "meadowlark"]
    assert [name for name in ours if not allowed(layer, name)] == []


@pytest.mark.parametrize("module", [module for module in MODULES if layer_of(module) not in RIM], ids=name_of)
def test_the_middle_touches_no_socket_file_clock_or_chance(module):
    source = module.read_text()
    permitted = WORLD_ALLOWED.get(name_of(module), set())
    worldly = {name for name in imports(source) if name.split(".")[0] in WORLD and not name.startswith(tuple(PURE_PARTS))}
    assert {name for name in worldly if name.split(".")[0] not in permitted} == set()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert [node.lineno for node in calls if node.func.id == "open"] == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_every_module_opens_with_a_docstring_that_says_what_it_is(module):
    assert ast.get_docstring(ast.parse(module.read_text()))


def test_every_folder_is_a_layer_of_the_table():
    assert {layer_of(module) for module in MODULES} - {"__init__"} <= set(LAYERS)


def test_nothing_of_a_server_imports_the_command_line():
    importers = [
        name_of(module)
        for module in MODULES
        if layer_of(module) != "cli"
        for name in imports(module.read_text())
        if name in ("meadowlark.cli", "typer") or name.startswith("meadowlark.cli.")
    ]
    assert importers == []


# The reader of imports is itself tested: a rule that cannot fail holds nothing.


def test_a_forbidden_import_would_be_found():
    found = list(imports("def f():\n    from meadowlark.server import config\n    import meadowlark.cli\n"))
    assert found == ["meadowlark.server.config", "meadowlark.cli"]
    assert not allowed("engine", found[0])
    assert not allowed("journal", "meadowlark.tree.Path")
    assert allowed("engine", "meadowlark.auth.identity.Identity")
    assert not allowed("engine", "meadowlark.auth.tokens.DevVerifier")
