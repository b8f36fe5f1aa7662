"""Two builds of one source: the one that pip installs needs no compiler, and the compiled one is what it says it is."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import meadowlark
from meadowlark.server.build import BUILD

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(meadowlark.__file__).parent


def compiled_modules() -> tuple[str, ...]:
    """The table of tools/native.py."""
    spec = importlib.util.spec_from_file_location("native", ROOT / "tools" / "native.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tuple(tool.MODULES)


@pytest.mark.parametrize("module", compiled_modules())
def test_what_is_compiled_is_so_in_the_native_build_only(module: str) -> None:
    imported = importlib.import_module("meadowlark." + module.removesuffix(".py").replace("/", "."))
    assert imported.__file__ is not None
    assert imported.__file__.endswith(".py") == (BUILD == "pure")
    assert Path(imported.__file__).is_relative_to(PACKAGE)


def test_the_source_is_the_pure_build() -> None:
    assert (BUILD == "pure") == (PACKAGE == ROOT / "src" / "meadowlark")
    assert not list((ROOT / "src").rglob("*.so"))


@pytest.mark.slow
def test_pip_makes_a_wheel_for_any_machine_without_a_compiler(tmp_path: Path) -> None:
    project, wheels = tmp_path / "project", tmp_path / "wheels"
    project.mkdir()
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "."]
    subprocess.run(
        [*command, "--disable-pip-version-check", "--wheel-dir", str(wheels)],
        cwd=project,
        env=os.environ | {"CC": "/nonexistent/cc"},
        check=True,
        timeout=100,
    )
    (wheel,) = wheels.iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("meadowlark/")}
    files = (file for file in (ROOT / "src" / "meadowlark").rglob("*") if file.suffix in (".py", ".typed"))
    assert {str(file.relative_to(ROOT / "src")) for file in files} <= names
    assert not [name for name in names if name.endswith(".so")]
