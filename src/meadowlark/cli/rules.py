"""`rules get|set|unset|check|lint|explain|versions|rollback|test`: security rules, on a running server or in files.

What asks a server finds it as the other commands do; with `--default` in place of a database it is about the rules of all that
have none of their own. What looks at files alone needs no server and no data folder, so it can run where code is tested.
Source: docs/rules.md "On the command line".
"""

from __future__ import annotations

import json
import time
from typing import Annotated, Any
from urllib.parse import quote

import typer

from meadowlark.cli.application import Exit, Failed, application
from meadowlark.cli.options import ConfigFile, CredentialFile, Data, Url, load_data

rules = typer.Typer(help="Read, set, check, explain and test security rules.", no_args_is_help=True)
application.add_typer(rules, name="rules")

EXIT_FOUND = 1
"""Exit code when something is wrong with the rules, or a case did not come out as expected."""

Database = Annotated[str, typer.Argument(metavar="DATABASE", help="The database that the rules are of.")]
Words = Annotated[list[str] | None, typer.Argument(metavar="DATABASE", help="The database that the rules are of.")]
Default = Annotated[
    bool, typer.Option("--default", help="Those of all databases without rules of their own, instead of DATABASE.")
]
DEFAULT_TARGET = "/.meadowlark/rules.json"
RulesFile = Annotated[str, typer.Argument(metavar="FILE", help="JSON with rules; comments are welcome.")]


class _Server:
    """Where the server is and who asks, as the flags say."""

    def __init__(self, data: str | None, config: str | None, credential_file: str | None, url: str | None) -> None:
        configured = load_data(data, config)
        self._data = configured.data
        self._credential_file = credential_file or configured.credential_file(configured.data)
        self._url = url

    def ask(self, method: str, target: str, body: bytes | None = None) -> bytes:
        """What the server answers. Raises Failed for a refusal."""
        from meadowlark.server import administration

        status, answer = administration.ask_server(
            method, target, data=self._data, credential_file=self._credential_file, url=self._url, body=body
        )
        if status != 200:
            try:
                text = str(json.loads(answer)["error"])
            except (ValueError, KeyError, TypeError):
                text = answer[:4096].decode(errors="replace")
            raise Failed(Exit.REFUSED, f"the server refused: {text.rstrip()}")
        return answer


class _Whose:
    """The rules that a command is about, and the words that it was given beside them."""

    def __init__(self, words: list[str], wanted: tuple[str, ...], *, default: bool) -> None:
        """wanted: what stands behind DATABASE, which `default` takes the place of."""
        expected = wanted if default else ("DATABASE", *wanted)
        if len(words) != len(expected):
            flag = " --default" if default else ""
            raise Failed(Exit.USAGE, f"expected{flag} {' '.join(expected)}".rstrip() + f", got {' '.join(words) or 'nothing'}")
        self.database = "" if default else words[0]
        self.rest = words[len(words) - len(wanted) :]

    def __str__(self) -> str:
        return self.database or "every database without rules of its own"

    @property
    def versions(self) -> str:
        """Where their versions are."""
        return f"/.meadowlark/rules/{quote(self.database, safe='')}.json" if self.database else DEFAULT_TARGET

    @property
    def place(self) -> str:
        """Where they are set."""
        return f"/.settings/rules.json?ns={quote(self.database, safe='')}" if self.database else DEFAULT_TARGET


@rules.command("get")
def get_rules(
    words: Words = None,
    version: Annotated[int | None, typer.Option("--version", metavar="NUMBER", help="An older version.")] = None,
    default: Default = False,
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
) -> None:
    """Print the rules of a database as they were set."""
    whose = _Whose(words or [], (), default=default)
    target = whose.place if whose.database else f"{whose.versions}?version=now"
    if version is not None:
        target = f"{whose.versions}?version={version}"
    typer.echo(_Server(data, config, credential_file, url).ask("GET", target).decode(), nl=False)


@rules.command("set")
def set_rules(
    words: Annotated[
        list[str], typer.Argument(metavar="DATABASE FILE", help="Which database; JSON with rules, comments are welcome.")
    ],
    default: Default = False,
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
) -> None:
    """Set the rules of a database; they are in force when this ends."""
    from meadowlark.server.rule_files import read_rules

    whose = _Whose(words, ("FILE",), default=default)
    (file,) = whose.rest
    text = read_rules(file).text
    _Server(data, config, credential_file, url).ask("PUT", whose.place, text.encode())
    typer.echo(f"{whose} has the rules in {file}")


@rules.command("unset")
def unset_rules(
    words: Words = None,
    default: Default = False,
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
) -> None:
    """Take away a database's own rules: then the default rules are in force."""
    whose = _Whose(words or [], (), default=default)
    _Server(data, config, credential_file, url).ask("DELETE", whose.versions)
    typer.echo(f"{whose} has no rules of its own any more" if whose.database else "there are no default rules any more")


@rules.command("versions")
def list_versions(
    words: Words = None,
    default: Default = False,
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
) -> None:
    """List the versions of a database's rules, the newest first."""
    whose = _Whose(words or [], (), default=default)
    answer = _Server(data, config, credential_file, url).ask("GET", whose.versions)
    for version in json.loads(answer):
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(version["at"] / 1000))
        size = "removed" if "removed" in version else f"{version['bytes']} bytes"
        of = f", brought back from version {version['restores']}" if "restores" in version else ""
        typer.echo(f"{version['version']}\t{at} UTC\tby {version['by']}\t{size}{of}")


@rules.command("rollback")
def roll_back(
    words: Annotated[list[str], typer.Argument(metavar="DATABASE NUMBER", help="The database, and the version to bring back.")],
    default: Default = False,
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
) -> None:
    """Bring back an older version of a database's rules."""
    whose = _Whose(words, ("NUMBER",), default=default)
    (version,) = whose.rest
    if not version.isdecimal():
        raise Failed(Exit.USAGE, f"{version!r} is not the number of a version")
    body = json.dumps({"restore": int(version)}).encode()
    answer = _Server(data, config, credential_file, url).ask("POST", whose.versions, body)
    typer.echo(f"{whose} has the rules of version {version} again, as version {json.loads(answer)['version']}")


@rules.command("explain")
def explain(
    database: Database,
    operation: Annotated[str, typer.Argument(metavar="OPERATION", help="What is done: read, set or update.")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Where, such as /rooms/7.")],
    value: Annotated[str, typer.Argument(metavar="JSON", help="What is written.")] = "null",
    who: Annotated[str, typer.Option("--as", metavar="UID", help="Who does it: a uid, or auth as a JSON object.")] = "",
    query: Annotated[
        str, typer.Option("--query", metavar="JSON", help='Of a read: the query, as the protocol has it: {"i": "at", "l": 10}.')
    ] = "null",
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
) -> None:
    """Say which rules allow or deny something, and what they saw. Nothing is written."""
    question = {
        "operation": operation,
        "path": path,
        "value": _json(value),
        "as": _json(who) if who[:1] == "{" else who or None,
        "query": _json(query),
    }
    target = f"/.meadowlark/explain/{quote(database)}.json"
    answer = json.loads(_Server(data, config, credential_file, url).ask("POST", target, json.dumps(question).encode()))
    typer.echo(f"{'allowed' if answer['allowed'] else 'denied'}: {answer['summary']}")
    for step in answer["steps"]:
        outcome = "true" if step["outcome"] else f"false, {step['error']}" if "error" in step else "false"
        typer.echo(f"\n{step['line']}:{step['column']}  {step['rule']} at {step['path']} is {outcome}\n    {step['text']}")
        for seen in step["values"]:
            typer.echo(f"    {seen['part']} = {json.dumps(seen['value'], ensure_ascii=False)}")


@rules.command("check")
def check(file: RulesFile) -> None:
    """Check rules in a file, as a server does before it takes them."""
    from meadowlark.server.rule_files import read_rules

    levels = read_rules(file).levels
    typer.echo(f"{file}: {sum(len(level.rules()) for level in levels)} rules, nothing wrong")


@rules.command("lint")
def lint(file: RulesFile) -> None:
    """Say what is suspicious about rules in a file: open to everyone, without effect, impossible."""
    from meadowlark.rules.lint import lint as find
    from meadowlark.server.rule_files import read_rules

    found = find(read_rules(file))
    for finding in found:
        typer.echo(f"{file}:{finding}")
    if found:
        raise typer.Exit(EXIT_FOUND)


@rules.command("test")
def try_cases(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Cases, in JSON or YAML.")],
    rules_file: Annotated[str | None, typer.Option("--rules", metavar="FILE", help="The rules to test.")] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Print which rules, and which conditions in them, the cases leave untested.")
    ] = False,
    require_coverage: Annotated[
        bool, typer.Option("--require-coverage", help="The same, and end with 1 if there are any.")
    ] = False,
) -> None:
    """Try the cases in a file: who may do what."""
    from meadowlark.server.rule_files import try_file

    outcomes, covered = try_file(file, rules_file)
    wrong = [outcome for outcome in outcomes if not outcome.is_right]
    for outcome in wrong:
        typer.echo(f"FAILED  {outcome.case.title()}")
        typer.echo(f"        {outcome.explanation.summary() if outcome.explanation is not None else outcome.refusal}")
    untested = covered.findings() if coverage or require_coverage else []
    for finding in untested:
        typer.echo(str(finding))
    if coverage or require_coverage:
        typer.echo(covered.summary())
    typer.echo(f"{len(outcomes) - len(wrong)} of {len(outcomes)} cases came out as expected")
    if wrong or (untested and require_coverage):
        raise typer.Exit(EXIT_FOUND)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise typer.BadParameter(f"{text[:80]!r} is not JSON") from None
