"""`serve` and `dev`: flags become a Config, which the supervisor runs.

What only these commands need is imported when they run, so `--help` stays quick.
Source: docs/operating.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from meadowlark.cli.application import application
from meadowlark.cli.options import (
    AdminCredentialFile,
    ConfigFile,
    CreateDatabases,
    Data,
    Databases,
    Durability,
    ExportOnExit,
    FirebaseKeys,
    FirebaseProjects,
    Host,
    IdentityFile,
    IdleDatabaseSeconds,
    ImportFolder,
    LogFormat,
    LogLevel,
    Port,
    PublicHost,
    RulesFile,
    SlowOperationSeconds,
    TlsCertificate,
    TlsKey,
    VolatileRate,
    WebTransport,
    Workers,
)
from meadowlark.errors import ConfigInvalid
from meadowlark.server import config as settings

if TYPE_CHECKING:
    from meadowlark.server.supervisor import Errands


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
        webtransport: WebTransport = None,
        public_host: PublicHost = None,
        admin_credential_file: AdminCredentialFile = None,
        firebase_projects: FirebaseProjects = None,
        firebase_keys: FirebaseKeys = None,
        identity_file: IdentityFile = None,
        rules_file: RulesFile = None,
        volatile_rate: VolatileRate = None,
        log_level: LogLevel = None,
        log_format: LogFormat = None,
        idle_database_seconds: IdleDatabaseSeconds = None,
        slow_operation_seconds: SlowOperationSeconds = None,
        config: ConfigFile = None,
        import_folder: ImportFolder = None,
        export_on_exit: ExportOnExit = False,
    ) -> None:
        given = locals()
        flags = {name: given[name] for name in settings.SETTINGS}
        loaded = settings.load(mode, file=config, environment=os.environ, flags=flags)
        from meadowlark.server import supervisor

        if import_folder is None and not export_on_exit:
            raise typer.Exit(supervisor.run(loaded))
        raise typer.Exit(supervisor.run(loaded, _errands(mode, import_folder, export_on_exit=export_on_exit)))

    return start


def _errands(mode: settings.Mode, import_folder: str | None, *, export_on_exit: bool) -> Errands:
    """The data that comes from a folder, and goes there at the end. Raises ConfigInvalid."""
    if mode != "dev":
        raise ConfigInvalid("--import and --export-on-exit are for dev: a server in production keeps its data by itself")
    if import_folder is None:
        raise ConfigInvalid("--export-on-exit needs to know where to: name the folder with --import")
    from meadowlark.server.emulator_data import ExportFolder
    from meadowlark.server.supervisor import Errands

    folder = ExportFolder(import_folder)
    if not (export_on_exit and not folder.exists):
        folder.files()  # Whether it can be read is known before anything is started.
    return Errands(folder.load_into if folder.exists else None, folder.save_from if export_on_exit else None)


application.command("serve", help="Run in production: durable, closed without a credential.")(_start("serve"))
application.command("dev", help="Run for development, in the emulator's place: all open.")(_start("dev"))
