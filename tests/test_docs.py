"""The documents are true where that can be checked: links, settings, limits, errors, layers, dependencies, commands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from meadowlark import cli, limits
from meadowlark.cli.application import Exit
from meadowlark.errors import CODES, Code
from meadowlark.server.config import SETTINGS, describe, flag_of, load, shown_default, type_of, variable_of
from meadowlark.server.families import FAMILIES
from tests.test_layers import EVERYTHING, LAYERS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def section(name: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{level}}} |\Z)", text_of(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no heading {heading!r}"
    return found[1]


def rows(markdown: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def anchors(markdown: str) -> set[str]:
    """The anchors that a document's headings have."""
    headings = re.findall(r"^#+ (.+)$", CODE_BLOCK.sub("", markdown), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Links


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_resolve(document):
    broken = []
    for link in LINK.findall(CODE_BLOCK.sub("", document.read_text())):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_has_one_title_and_it_comes_first(document):
    text = document.read_text()
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", CODE_BLOCK.sub("", text), re.MULTILINE)) == 1


def test_sources_that_modules_name_exist():
    """`Source: docs/x.md "Heading"` in a docstring names a document and a heading that are there."""
    missing = []
    for module in ROOT.glob("src/**/*.py"):
        source = " ".join(module.read_text().split())
        for name, heading in re.findall(r"(docs/[a-z]+\.md)(?: \"([^\"]+)\")?", source):
            if not (ROOT / name).exists():
                missing.append(f"{module.name}: {name}")
            elif heading and not re.search(rf"^#+ {re.escape(heading)}$", text_of(name), re.MULTILINE):
                missing.append(f'{module.name}: {name} "{heading}"')
    assert missing == []


# Settings and commands


def test_the_table_of_settings_is_the_struct():
    expected = [
        [
            f"`{name}`",
            type_of(name),
            shown_default(name, "serve"),
            shown_default(name, "dev"),
            f"`{variable_of(name)}`",
            f"`{flag_of(name)}`",
            describe(name),
        ]
        for name in SETTINGS
    ]
    assert rows(section("docs/operating.md", "## Settings")) == expected


def test_the_example_of_a_configuration_file_can_be_used(tmp_path):
    example = re.search(r"```toml\n(.*?)```", section("docs/operating.md", "## Settings"), re.DOTALL)
    assert example
    for name in ("fullchain.pem", "key.pem"):
        (tmp_path / name).write_text("")
    file = tmp_path / "meadowlark.toml"
    file.write_text(example[1].replace("/etc/lark", str(tmp_path)))
    assert load("serve", file=str(file), environment={}, flags={}).databases == ["shop", "chat"]


def test_every_command_that_documents_name_exists():
    commands: dict = {"": get_command(cli.application)}
    for name, command in list(commands[""].commands.items()):
        commands[name] = command
    named = set()
    for document in DOCUMENTS:
        named |= set(re.findall(r"\bmeadowlark (serve|dev|[a-z]+(?= (?:create|list))|repair|version)\b", document.read_text()))
    assert named
    assert named <= set(commands)


def commands_below(name, command):
    """Every command, with its arguments and the first line of its help."""
    if hasattr(command, "commands"):
        for word, inner in command.commands.items():
            yield from commands_below(f"{name} {word}".strip(), inner)
        return
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    shown = [each.metavar if each.required else f"[{each.metavar}]" for each in arguments]
    named = [text or each.name.upper() for text, each in zip(shown, arguments, strict=True)]
    yield [f"`{' '.join([name, *named])}`", command.help.splitlines()[0].strip()]


def test_the_table_of_commands_is_what_there_is():
    table = section("docs/cli.md", "# The command line").partition("\n## ")[0]
    assert rows(table.strip().partition("\n\n")[2].partition("\n\n")[0]) == sorted(
        commands_below("", get_command(cli.application))
    )


def test_the_table_of_exit_codes_is_what_there_is():
    expected = [[str(int(code)), f"`{code.name}`"] for code in Exit]
    assert [row[:2] for row in rows(section("docs/cli.md", "## Exit codes"))] == expected


def test_every_make_target_that_documents_name_exists():
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    named = set()
    for document in DOCUMENTS:
        named |= set(re.findall(r"(?:`|\$ )make ([a-z]+)", document.read_text()))
    assert {"serve", "test", "check", "fix", "bench"} <= targets
    assert named <= targets


def test_the_table_of_metrics_is_what_is_exported():
    expected = [
        [f"`{family.name}`", family.kind, f"`{family.label}`" if family.label else "", family.meaning] for family in FAMILIES
    ]
    assert rows(section("docs/operating.md", "## Metrics")) == expected


# Promises


def test_every_error_code_is_in_the_table_with_its_status_and_policy():
    expected = [
        [f"`{code.value}`", f"`{policy.status}`", str(policy.http), "yes" if policy.retry else "no"]
        for code, policy in CODES.items()
    ]
    assert rows(section("docs/semantics.md", "## Errors")) == expected


@pytest.mark.parametrize("code", Code, ids=lambda code: code.value)
def test_every_error_code_has_its_heading(code):
    assert section("docs/semantics.md", f"### {code.value}").strip()


UNITS = {"": 1, "bytes": 1, "KiB": 1024, "MiB": 1024 * 1024, "s": 1}


@pytest.mark.parametrize("row", rows(section("docs/semantics.md", "## Limits")), ids=lambda row: row[2].strip("`"))
def test_documented_limits_are_those_in_force(row):
    number, _, unit = row[1].partition(" ")
    assert float(number) * UNITS[unit] == getattr(limits, row[2].strip("`"))


# Architecture


def test_the_table_of_layers_is_the_one_that_is_held():
    documented = {}
    for layer, _, permitted in rows(section("docs/architecture.md", "## Layers")):
        names = set(re.findall(r"`([a-z.]+)`", permitted))
        documented[layer.strip("`")] = EVERYTHING if permitted == "everything" else names
    assert documented == LAYERS


def test_every_dependency_has_its_sentence():
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    names = {re.match(r"[a-z0-9-]+", requirement)[0] for requirement in project["dependencies"]}  # type: ignore[index]
    described = {row[0].strip("`") for row in rows(section("docs/architecture.md", "## Dependencies"))}
    assert described == names
    for requirement in project["optional-dependencies"]["test"]:
        assert f"`{re.match(r'[a-z0-9-]+', requirement)[0]}`" in section("docs/architecture.md", "## Dependencies")  # type: ignore[index]


def test_the_glossary_is_in_order_and_each_word_is_there_once():
    words = [row[0] for row in rows(text_of("docs/glossary.md"))]
    assert words == sorted(words, key=str.lower)
    assert len(set(words)) == len(words)
