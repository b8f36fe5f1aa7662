"""The command line: `serve`, `dev`, `databases`, `top`, `repair`, `version`.

Reads flags, makes a Config (server/config.py says what each means) and hands it to the supervisor. Workers never import
this module, and what only one command needs is imported by that command, so `--help` stays quick.

A refused setting or a folder in use ends with one line on stderr and exit code 2; nothing has been started then.
Source: docs/operating.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from meadowlark import __version__
from meadowlark.errors import MeadowlarkError
from meadowlark.server import config as settings

EXIT_REFUSED = 2
"""Exit code when nothing was started or changed, as for a wrong flag."""

application = typer.Typer(
    name="meadowlark",
    help="Meadowlark: a realtime JSON database that you run yourself, for the official Firebase SDKs and plain HTTP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
databases = typer.Typer(help="List and create databases.", no_args_is_help=True)
application.add_typer(databases, name="databases")


def _option(name: str, metavar: str) -> Any:
    """A flag for one setting: text, so that flags, environment and file are read by the same checks."""
    return typer.Option(settings.flag_of(name), metavar=metavar, help=_help(name), show_default=False)


def _help(name: str) -> str:
    """What a setting does and what it is when not given, in both modes where they differ."""
    serve, dev = settings.shown_default(name, "serve"), settings.shown_default(name, "dev")
    return f"{settings.describe(name)} [{serve}]" if serve == dev else f"{settings.describe(name)} [serve: {serve}; dev: {dev}]"


Host = Annotated[str | None, _option("host", "ADDRESS")]
Port = Annotated[str | None, _option("port", "NUMBER")]
Data = Annotated[str | None, _option("data", "FOLDER")]
Workers = Annotated[str | None, _option("workers", "NUMBER")]
Databases = Annotated[str | None, _option("databases", "NAME,…")]
CreateDatabases = Annotated[
    bool | None,
    typer.Option("--create-databases/--no-create-databases", help=_help("create_databases"), show_default=False),
]
Durability = Annotated[str | None, _option("durability", "durable|relaxed")]
TlsCertificate = Annotated[str | None, _option("tls_certificate", "FILE")]
TlsKey = Annotated[str | None, _option("tls_key", "FILE")]
PublicHost = Annotated[str | None, _option("public_host", "HOST:PORT")]
AdminCredentialFile = Annotated[str | None, _option("admin_credential_file", "FILE")]
LogLevel = Annotated[str | None, _option("log_level", "debug|info|warning|error")]
LogFormat = Annotated[str | None, _option("log_format", "text|json")]
IdleDatabaseSeconds = Annotated[str | None, _option("idle_database_seconds", "SECONDS")]
SlowOperationSeconds = Annotated[str | None, _option("slow_operation_seconds", "SECONDS")]
ConfigFile = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="TOML file with settings; MEADOWLARK_CONFIG names it as well."),
]
CredentialFile = Annotated[
    str | None, typer.Option("--credential-file", metavar="FILE", help="The admin credential, for a running server.")
]
Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The running server; by default the one that holds the folder.")
]


def _start(mode: settings.Mode) -> Callable[..., None]:
    """The command that runs a server in `mode`: one parameter for each setting, by its name."""

    def start(
        host: Host = None,
        port: Port = None,
        data: Data = None,
        workers: Workers = None,
        databases: Databases = None,
        create_databases: CreateDatabases = None,
        durability: Durability = None,
        tls_certificate: TlsCertificate = None,
        tls_key: TlsKey = None,
        public_host: PublicHost = None,
        admin_credential_file: AdminCredentialFile = None,
        log_level: LogLevel = None,
        log_format: LogFormat = None,
        idle_database_seconds: IdleDatabaseSeconds = None,
        slow_operation_seconds: SlowOperationSeconds = None,
        config: ConfigFile = None,
    ) -> None:
        given = locals()
        flags = {name: given[name] for name in settings.SETTINGS}
        loaded = settings.load(mode, file=config, environment=os.environ, flags=flags)
        from meadowlark.server import supervisor

        raise typer.Exit(supervisor.run(loaded))

    return start


application.command("serve", help="Run in production: durable, closed without a credential.")(_start("serve"))
application.command("dev", help="Run for development, in the emulator's place: all open.")(_start("dev"))


@application.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"meadowlark {__version__}")


@databases.command("list")
def list_databases(data: Data = None, config: ConfigFile = None) -> None:
    """Print the names of the databases in the data folder."""
    from meadowlark.server import administration

    for name in administration.list_databases(_load_data(data, config).data):
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

    configured = _load_data(data, config)
    file = credential_file or configured.credential_file(configured.data)
    created = administration.create_database(name, data=configured.data, credential_file=file, url=url)
    typer.echo(f"{name} {'created' if created else 'already exists'}")


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

    configured = _load_data(data, config)
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


def main() -> None:
    """The `meadowlark` command."""
    try:
        application()
    except MeadowlarkError as error:
        typer.echo(f"meadowlark: {error}", err=True)
        sys.exit(EXIT_REFUSED)


def _load_data(data: str | None, file: str | None) -> settings.Config:
    """The settings of the server on a data folder, as far as its operator's commands need them."""
    return settings.load("serve", file=file, environment=os.environ, flags={"data": data})


if __name__ == "__main__":
    main()
