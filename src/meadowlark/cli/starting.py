"""`serve` and `dev`: flags become a Config, which the supervisor runs.

What only these commands need is imported when they run, so `--help` stays quick.
Source: docs/operating.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import typer

from meadowlark.cli.application import application
from meadowlark.cli.options import (
    AdminCredentialFile,
    ConfigFile,
    CreateDatabases,
    Data,
    Databases,
    Durability,
    FirebaseKeys,
    FirebaseProjects,
    Host,
    IdentityFile,
    IdleDatabaseSeconds,
    LogFormat,
    LogLevel,
    Port,
    PublicHost,
    RulesFile,
    SlowOperationSeconds,
    TlsCertificate,
    TlsKey,
    Workers,
)
from meadowlark.server import config as settings


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
        firebase_projects: FirebaseProjects = None,
        firebase_keys: FirebaseKeys = None,
        identity_file: IdentityFile = None,
        rules_file: RulesFile = None,
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
