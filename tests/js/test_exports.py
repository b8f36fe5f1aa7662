"""What the package exports against what Firebase's SDK declares, and against the table in docs/clients.md that says so."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.harness import PROJECT
from tests.js.conftest import FOLDER

DOCUMENT = PROJECT / "docs" / "clients.md"
DECLARATIONS = {
    "firebase/database": ("@firebase", "database", "dist", "public.d.ts"),
    "firebase/app": ("@firebase", "app", "dist", "app-public.d.ts"),
}
MEMBERS = ("DataSnapshot", "DatabaseReference", "OnDisconnect", "Query", "TransactionResult")


def declared(node: Path, package: str) -> str:
    return (node / "node_modules").joinpath(*DECLARATIONS[package]).read_text()


def names_in(text: str) -> set[str]:
    """What declarations export: functions, classes, types and constants."""
    found = set(
        re.findall(r"^export (?:declare )?(?:abstract )?(?:function|class|interface|type|const) (\w+)", text, re.MULTILINE)
    )
    for group in re.findall(r"^export (?:type )?\{([^}]*)\}", text, re.MULTILINE):
        found |= {name.split(" as ")[-1].strip() for name in group.split(",") if name.strip()}
    return found


def members_of(text: str, name: str) -> set[str]:
    """The members of a class or an interface in declarations, without those above it."""
    body = re.search(rf"^export (?:declare )?(?:class|interface) {name}\b[^{{]*\{{(.*?)^\}}", text, re.MULTILINE | re.DOTALL)
    assert body, name
    public = re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL)
    members = re.findall(r"^ {4}(?:readonly |get )?(\w+)(?:[(<]|\??: [^,)]*;$)", public, re.MULTILINE)
    return {member for member in members if not member.startswith("_")} - {"constructor"}


def table() -> dict[str, str]:
    """Each name of Firebase's in the document, and what is said of it."""
    section = DOCUMENT.read_text().partition("### What Firebase's SDK exports")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (`.+?) \| (.+) \|$", section, re.MULTILINE)
    return {name: said for names, said in rows for name in re.findall(r"`(\w+)`", names)}


@pytest.fixture(scope="module")
def ours(built: str) -> set[str]:
    """Values and types that the built package exports."""
    script = "import('./dist/index.js').then((all) => console.log(JSON.stringify(Object.keys(all))))"
    done = subprocess.run(["node", "-e", script], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=True)
    types = "\n".join(path.read_text() for path in (FOLDER / "dist").glob("index.d.ts"))
    return set(json.loads(done.stdout)) | names_in(types)


@pytest.mark.parametrize("package", DECLARATIONS)
def test_every_name_of_the_sdk_is_in_the_table(node: Path, package: str) -> None:
    assert names_in(declared(node, package)) - set(table()) == set()


def test_the_table_names_nothing_that_the_sdk_has_not(node: Path) -> None:
    known = set().union(*(names_in(declared(node, package)) for package in DECLARATIONS))
    assert set(table()) - known == set()


def test_what_the_table_promises_is_exported_and_what_it_excludes_is_not(ours: set[str]) -> None:
    promised = {name for name, said in table().items() if not said.startswith("no")}
    assert promised - ours == set()
    assert (set(table()) - promised) & ours == set()


@pytest.mark.parametrize("name", MEMBERS)
def test_classes_have_the_members_of_the_sdks(node: Path, built: str, name: str) -> None:
    types = (FOLDER / "dist" / "index.d.ts").read_text()
    own = members_of(types, name)
    if name == "DatabaseReference":
        own |= members_of(types, "Query")
    assert members_of(declared(node, "firebase/database"), name) - own == set()
