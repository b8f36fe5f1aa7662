"""`databases list|create`: on a data folder, or on the server that runs on it."""

from __future__ import annotations

from typing import Annotated

import typer

from meadowlark.cli.application import application
from meadowlark.cli.options import ConfigFile, CredentialFile, Data, Url, load_data

databases = typer.Typer(help="List and create databases.", no_args_is_help=True)
application.add_typer(databases, name="databases")


@databases.command("list")
def list_databases(data: Data = None, config: ConfigFile = None) -> None:
    """Print the names of the databases in the data folder."""
    from meadowlark.server import administration

    for name in administration.list_databases(load_data(data, config).data):
        typer.echo(name)


@databases.command("create")
def create_database(
    name: Annotated[str, typer.Argument(help="1 to 63 letters, digits, '-' or '_', the first a letter or digit.")],
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
) -> None:
    """Create a database, on a running server or in its data folder."""
    from meadowlark.server import administration

    configured = load_data(data, config)
    file = credential_file or configured.credential_file(configured.data)
    created = administration.create_database(name, data=configured.data, credential_file=file, url=url)
    typer.echo(f"{name} {'created' if created else 'already exists'}")
