"""`top`, `repair`, `version`: what an operator asks of a server or of its data folder."""

from __future__ import annotations

from typing import Annotated

import typer

from meadowlark import __version__
from meadowlark.cli.application import application
from meadowlark.cli.options import ConfigFile, CredentialFile, Data, Url, load_data


@application.command()
def top(
    data: Data = None,
    config: ConfigFile = None,
    credential_file: CredentialFile = None,
    url: Url = None,
    interval: Annotated[float, typer.Option("--interval", metavar="SECONDS", min=0.5, help="Between two readings.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one table, of one interval, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON instead of each table.")] = False,
) -> None:
    """Show what a running server does, worker by worker."""
    from meadowlark.server import administration, monitor

    configured = load_data(data, config)
    file = credential_file or configured.credential_file(configured.data)
    monitor.watch(
        lambda: administration.read_metrics(data=configured.data, credential_file=file, url=url),
        interval=interval,
        once=once,
        as_json=as_json,
    )


@application.command()
def repair(
    data: Annotated[str, typer.Argument(metavar="DATA", help="The data folder of a server that does not run.")],
) -> None:
    """Make a damaged data folder start again, and say what is lost."""
    from meadowlark.server import administration

    for line in administration.repair_data(data):
        typer.echo(line)


@application.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"meadowlark {__version__}")
