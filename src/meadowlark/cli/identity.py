"""`credentials list|add|revoke` and `token`: who may come in, and tokens to try it with.

Credentials are changed in the data folder; a server that runs on it notices. A credential or a token is all that is printed on
standard output, so that a script can take it from there.
Source: docs/identity.md.
"""

from __future__ import annotations

import json
import os
import re
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from meadowlark.cli.application import application
from meadowlark.cli.options import ConfigFile, Data, IdentityFile, load_data
from meadowlark.errors import ConfigInvalid
from meadowlark.server import config as settings

credentials = typer.Typer(help="List, add and revoke admin credentials.", no_args_is_help=True)
application.add_typer(credentials, name="credentials")

_SPAN = re.compile(r"([0-9]{1,9})([smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

Name = Annotated[str, typer.Argument(help="1 to 63 letters, digits, '.', '-' or '_'.")]


@credentials.command("list")
def list_credentials(data: Data = None, config: ConfigFile = None) -> None:
    """Print the names of the credentials and what they are for; never themselves."""
    from meadowlark.server import credentials_file

    for each in credentials_file.list_credentials(load_data(data, config).data):
        scope = ",".join(each.databases) if each.databases is not None else "all databases"
        made = datetime.fromtimestamp(each.created_at, UTC).strftime("%Y-%m-%d")
        typer.echo(f"{each.name}\t{scope}\t{'read only' if each.reads_only else 'read and write'}\tsince {made}")


@credentials.command("add")
def add_credential(
    name: Name,
    data: Data = None,
    config: ConfigFile = None,
    database: Annotated[
        list[str] | None,
        typer.Option("--database", metavar="NAME", help="Where it counts; repeatable; without, everywhere."),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Whether it may only read.")] = False,
) -> None:
    """Make a credential and print it: this once, since only its hash is kept."""
    from meadowlark.server import credentials_file

    folder = load_data(data, config).data
    typer.echo(credentials_file.add_credential(folder, name, databases=database or (), reads_only=read_only))


@credentials.command("revoke")
def revoke_credential(name: Name, data: Data = None, config: ConfigFile = None) -> None:
    """Make a credential open nothing any more, and end the connections that show it."""
    from meadowlark.server import credentials_file

    credentials_file.revoke_credential(load_data(data, config).data, name)
    typer.echo(f"{name} revoked")


@application.command()
def token(
    uid: Annotated[str, typer.Argument(help="Whom the token describes.")],
    claims: Annotated[str, typer.Option("--claims", metavar="JSON", help="Custom claims, as an object.")] = "{}",
    expires: Annotated[str, typer.Option("--expires", metavar="SPAN", help="From now: 90s, 30m, 12h, 7d.")] = "1h",
    project: Annotated[str, typer.Option("--project", metavar="ID", help="The Firebase project that it says it is of.")] = "",
    key: Annotated[
        str | None, typer.Option("--key", metavar="NAME", help="Sign for [tokens.NAME] of the identity file; unsigned without.")
    ] = None,
    key_file: Annotated[
        str | None,
        typer.Option("--key-file", metavar="FILE", help="The private key, if the identity file has the public one."),
    ] = None,
    identity_file: IdentityFile = None,
    config: ConfigFile = None,
) -> None:
    """Print a token: unsigned, for dev, or signed with a key that serve knows."""
    from meadowlark.auth import minting

    made = minting.claims_for(uid, _parse_claims(claims), now=time.time(), seconds=_parse_span(expires), project=project)
    if key is None:
        typer.echo(minting.mint_unsigned(made))
        return
    from meadowlark.server.identity_file import read_token_key

    loaded = settings.load("serve", file=config, environment=os.environ, flags={"identity_file": identity_file})
    found = read_token_key(loaded, key, key_file)
    if not project:
        del made["iss"], made["aud"]
    made |= found.claims
    try:
        typer.echo(minting.mint_signed(made, found.key, found.algorithm, key))
    except ValueError as error:
        raise ConfigInvalid(str(error)) from error


def _parse_claims(text: str) -> dict[str, Any]:
    try:
        claims = json.loads(text)
    except ValueError as error:
        raise ConfigInvalid(f"--claims is not JSON: {error}") from error
    if not isinstance(claims, dict):
        raise ConfigInvalid('--claims is no object; expected something like {"admin": true}')
    return claims


def _parse_span(text: str) -> int:
    span = _SPAN.fullmatch(text)
    if span is None or not int(span[1]):
        raise ConfigInvalid(f"--expires is {text!r}; expected a span like 90s, 30m, 12h or 7d")
    return int(span[1]) * _UNITS[span[2]]
