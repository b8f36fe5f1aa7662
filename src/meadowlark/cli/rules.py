"""`rules get|set|check|lint|explain|versions|rollback|test`: security rules, on a running server or in files.

What asks a server finds it as the other commands do. What looks at files alone needs no server and no data folder, so it can
run where code is tested.
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


@rules.command("get")
def get_rules(
    database: Database,
    version: Annotated[int | None, typer.Option("--version", metavar="NUMBER", help="An older version.")] = None,
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
) -> None:
    """Print the rules of a database as they were set."""
    target = f"/.settings/rules.json?ns={quote(database)}"
    if version is not None:
        target = f"/.meadowlark/rules/{quote(database)}.json?version={version}"
    typer.echo(_Server(data, config, credential_file, url).ask("GET", target).decode(), nl=False)


@rules.command("set")
def set_rules(
    database: Database,
    file: RulesFile,
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
) -> None:
    """Set the rules of a database; they are in force when this ends."""
    from meadowlark.server.rule_files import read_rules

    text = read_rules(file).text
    _Server(data, config, credential_file, url).ask("PUT", f"/.settings/rules.json?ns={quote(database)}", text.encode())
    typer.echo(f"{database} has the rules in {file}")


@rules.command("versions")
def list_versions(
    database: Database,
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
) -> None:
    """List the versions of a database's rules, the newest first."""
    answer = _Server(data, config, credential_file, url).ask("GET", f"/.meadowlark/rules/{quote(database)}.json")
    for version in json.loads(answer):
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(version["at"] / 1000))
        of = f", brought back from version {version['restores']}" if "restores" in version else ""
        typer.echo(f"{version['version']}\t{at} UTC\tby {version['by']}\t{version['bytes']} bytes{of}")


@rules.command("rollback")
def roll_back(
    database: Database,
    version: Annotated[int, typer.Argument(metavar="NUMBER", help="The version to bring back.")],
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
) -> None:
    """Bring back an older version of a database's rules."""
    body = json.dumps({"restore": version}).encode()
    answer = _Server(data, config, credential_file, url).ask("POST", f"/.meadowlark/rules/{quote(database)}.json", body)
    typer.echo(f"{database} has the rules of version {version} again, as version {json.loads(answer)['version']}")


@rules.command("explain")
def explain(
    database: Database,
    operation: Annotated[str, typer.Argument(metavar="OPERATION", help="What is done: read, set or update.")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Where, such as /rooms/7.")],
    value: Annotated[str, typer.Argument(metavar="JSON", help="What is written.")] = "null",
    who: Annotated[str, typer.Option("--as", metavar="UID", help="Who does it: a uid, or auth as a JSON object.")] = "",
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
) -> None:
    """Say which rules allow or deny something, and what they saw. Nothing is written."""
    question = {"operation": operation, "path": path, "value": _json(value), "as": _json(who) if who[:1] == "{" else who or None}
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
    coverage: Annotated[bool, typer.Option("--coverage", help="Print which rules the cases leave untested.")] = False,
) -> None:
    """Try the cases in a file: who may do what."""
    from meadowlark.server.rule_files import try_file

    outcomes, covered = try_file(file, rules_file)
    wrong = [outcome for outcome in outcomes if not outcome.is_right]
    for outcome in wrong:
        typer.echo(f"FAILED  {outcome.case.title()}")
        typer.echo(f"        {outcome.explanation.summary() if outcome.explanation is not None else outcome.refusal}")
    if coverage:
        for rule, lack in covered.missing():
            typer.echo(f"{rule.line}:{rule.column}: .{rule.kind} at /{'/'.join(rule.path)} was {lack}")
    typer.echo(f"{len(outcomes) - len(wrong)} of {len(outcomes)} cases came out as expected")
    if wrong:
        raise typer.Exit(EXIT_FOUND)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise typer.BadParameter(f"{text[:80]!r} is not JSON") from None
