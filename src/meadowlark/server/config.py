"""Settings: what they are, what they default to, and where they come from.

Four layers, each over the one before: the mode's defaults, a TOML file, the environment (`MEADOWLARK_PORT`), flags
(`--port`). Every layer is read by the same checks, and each complaint names the layer, the setting, what was found and
what was expected. Nothing unknown passes: a setting that does nothing is worse than one that is refused.

`Config` is the whole outcome: frozen, sent to the workers as it is. A field's description below is its text in `--help`
and in the table of docs/operating.md; tests/test_docs.py holds them equal.

Does not know: what the settings do. Reads the one file it is given and nothing else of the world but the core count.
Source: docs/operating.md "Settings".
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from meadowlark.errors import ConfigInvalid, Refused
from meadowlark.ids import check_database_name

Mode = Literal["serve", "dev"]

ENVIRONMENT_PREFIX = "MEADOWLARK_"

ENVIRONMENT_OTHERS = (
    "MEADOWLARK_CONFIG",
    "MEADOWLARK_CLIENT_",
    "MEADOWLARK_NO_SKIPS",
    "MEADOWLARK_SERVICE_",
    "MEADOWLARK_PORT_",
)
"""Beginnings of variables that carry our prefix and are no settings: the file to read, what the command line's clients take, the
test run's switch, and what Kubernetes adds to every container beside a service called meadowlark."""

CREDENTIAL_FILE = "admin-credential"
"""Name of the file in the data folder that holds the admin credential."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of one server. Made by `load`, which also puts in the mode's defaults."""

    mode: Annotated[Mode, Meta(description="Which command runs: production, or development with everything open.")]
    host: Annotated[str, Meta(min_length=1, description="Address to listen on; dev accepts loopback addresses only.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port for HTTP and WebSocket; 0 takes a free one.")] = 9000
    data: Annotated[str, Meta(description="The data folder; in dev, empty means one that is thrown away at the end.")] = "data"
    workers: Annotated[
        int, Meta(ge=0, le=1024, description="Worker processes; 0 means one for each core in serve, and one in dev.")
    ] = 0
    databases: Annotated[list[str], Meta(description="Databases that are created at the start if they do not exist.")] = []
    create_databases: Annotated[bool, Meta(description="Whether the first touch of an unknown database creates it.")] = False
    durability: Annotated[
        Literal["durable", "relaxed"],
        Meta(description="When a write is acknowledged: after it is on disk, or at once (a crash may then lose the last ones)."),
    ] = "durable"
    tls_certificate: Annotated[str, Meta(description="PEM file with the certificate chain; empty serves without TLS.")] = ""
    tls_key: Annotated[str, Meta(description="PEM file with the key of the certificate.")] = ""
    webtransport: Annotated[
        bool,
        Meta(
            description="Whether to serve WebTransport too where there is TLS, and in dev: worker number n, counted from 0, "
            "on UDP port `port` + n."
        ),
    ] = True
    public_host: Annotated[
        str, Meta(description="The host:port that clients are told to come back to; empty means the one they asked for.")
    ] = ""
    admin_credential_file: Annotated[
        str, Meta(description="File with the admin credential; empty means admin-credential in the data folder.")
    ] = ""
    firebase_projects: Annotated[
        list[str], Meta(description="Firebase projects whose users' ID tokens are accepted, in every database.")
    ] = []
    firebase_keys: Annotated[str, Meta(min_length=1, description="URL or file of the certificates that verify those tokens.")] = (
        "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
    )
    identity_file: Annotated[
        str, Meta(description="TOML file with further issuers, token keys and database secrets; empty means none.")
    ] = ""
    rules_file: Annotated[
        str, Meta(description="File with the security rules of databases without rules of their own; read again when it changes.")
    ] = ""
    volatile_rate: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="How often a second one connection is told of volatile values at most; 0 means of each at once.",
        ),
    ] = 0.0
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="The least that is logged.")] = "info"
    log_format: Annotated[Literal["text", "json"], Meta(description="Log lines for people, or for programs.")] = "text"
    idle_database_seconds: Annotated[
        float, Meta(gt=0, description="A database that nobody used for this long leaves memory; its next use loads it again.")
    ] = 600.0

    slow_operation_seconds: Annotated[
        float, Meta(gt=0, description="An operation, or a piece of a loop turn, that takes longer than this is logged.")
    ] = 0.05

    @property
    def verifies_tokens(self) -> bool:
        """Whether there is anybody whose tokens are to be verified."""
        return bool(self.identity_file or self.firebase_projects)

    def credential_file(self, data: str) -> str:
        """Where the admin credential is, given the data folder in use."""
        return self.admin_credential_file or os.path.join(data, CREDENTIAL_FILE)


DEFAULTS: dict[Mode, dict[str, Any]] = {
    "serve": {},
    "dev": {"data": "", "create_databases": True},
}
"""Where a mode's default is not the one written in the struct."""

HINTS = get_type_hints(Config, include_extras=True)

SETTINGS: tuple[str, ...] = tuple(name for name in Config.__struct_fields__ if name != "mode")
"""What can be set, in the order of the table in the documents. The mode is chosen by the command."""


def load(mode: Mode, *, file: str | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Config:
    """The settings in force. `flags`: by field name; None means that the flag was not given.

    `file` None: MEADOWLARK_CONFIG names it, if set. Raises ConfigInvalid, and starts nothing.
    """
    settings = {"mode": mode, **DEFAULTS[mode]}
    file = file or environment.get("MEADOWLARK_CONFIG")
    if file:
        settings |= _read_file(file)
    settings |= _read_environment(environment)
    settings |= _checked({name: value for name, value in flags.items() if value is not None}, flag_of, text=True)
    config = msgspec.convert(settings, Config)
    _check_together(config)
    return msgspec.structs.replace(config, workers=config.workers or (core_count() if mode == "serve" else 1))


def describe(name: str) -> str:
    """The description of a setting, for `--help` and the documents."""
    for extra in get_args(HINTS[name])[1:]:
        if isinstance(extra, Meta) and extra.description:
            return extra.description
    raise KeyError(name)


def default_of(name: str, mode: Mode) -> Any:
    """What a setting is when nobody sets it."""
    if name in DEFAULTS[mode]:
        return DEFAULTS[mode][name]
    return getattr(Config(mode=mode), name)


def shown_default(name: str, mode: Mode) -> str:
    """`default_of` as people read it, in `--help` and in the documents."""
    default = default_of(name, mode)
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, float):
        return f"{default:g}"
    return str(default) if default not in ("", []) else "empty"


def type_of(name: str) -> str:
    """The type of a setting in plain words: `text`, `number`, `list of text`, or the words to choose from."""
    bare = get_args(HINTS[name])[0]
    if get_origin(bare) is Literal:
        return " or ".join(get_args(bare))
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(bare, "list of text")


def flag_of(name: str) -> str:
    """The command line flag of a setting."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return ENVIRONMENT_PREFIX + name.upper()


def core_count() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Layers


def _read_file(file: str) -> dict[str, Any]:
    try:
        with open(file, "rb") as source:
            settings = tomllib.load(source)
    except OSError as error:
        raise ConfigInvalid(f"the configuration file {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"the configuration file {file} is not TOML: {error}") from error
    return _checked(settings, lambda name: f"{name} in {file}", text=False)


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for variable, text in environment.items():
        if variable.startswith(ENVIRONMENT_PREFIX) and not variable.startswith(ENVIRONMENT_OTHERS):
            settings[variable.removeprefix(ENVIRONMENT_PREFIX).lower()] = text
    return _checked(settings, variable_of, text=True)


def _checked(settings: dict[str, Any], place: Callable[[str], str], *, text: bool) -> dict[str, Any]:
    """`settings` with known names and values of the right type.

    `text`: values may be text to be read as what the setting needs. In a TOML file the author chose the type.
    """
    return {name: _convert(name, value, place(name), text) for name, value in settings.items() if _known(name, place)}


def _known(name: str, place: Callable[[str], str]) -> bool:
    if name == "mode":
        raise ConfigInvalid(f"{place(name)} cannot be set: the mode is the command, `meadowlark serve` or `meadowlark dev`")
    if name not in SETTINGS:
        near = difflib.get_close_matches(name, SETTINGS, n=1)
        hint = f"did you mean {place(near[0])}?" if near else f"take it out; the settings are {', '.join(SETTINGS)}"
        raise ConfigInvalid(f"{place(name)} is not a setting; {hint}")
    return True


def _convert(name: str, value: Any, place: str, text: bool) -> Any:
    given = value
    if text and type_of(name) == "list of text" and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, HINTS[name], strict=not text)
    except msgspec.ValidationError as error:
        raise ConfigInvalid(f"{place} is {given!r}; expected {type_of(name)}{_bound(error)}") from error


def _bound(error: msgspec.ValidationError) -> str:
    """The bound that was broken, if that was it: " <= 65535" of "Expected `int` <= 65535 - at `$.port`"."""
    reason = str(error).partition(" - at ")[0]
    return "" if "got" in reason or not reason.startswith("Expected `") else reason.removeprefix("Expected `").partition("`")[2]


# Settings that must agree


def _check_together(config: Config) -> None:
    for database in config.databases:
        try:
            check_database_name(database)
        except Refused as error:
            raise ConfigInvalid(f"databases: {error.text}") from error
    if config.mode == "dev" and not _is_loopback(config.host):
        raise ConfigInvalid(
            f"host is {config.host!r}; dev listens on loopback addresses only (127.0.0.1, ::1, localhost), because everyone "
            "who reaches it may read and write everything; use `meadowlark serve` to be reached from elsewhere"
        )
    if config.mode == "serve" and not config.data:
        raise ConfigInvalid("data is empty; expected a folder, since serve keeps what it is given")
    if bool(config.tls_certificate) != bool(config.tls_key):
        missing = "tls_key" if config.tls_certificate else "tls_certificate"
        raise ConfigInvalid(f"{missing} is empty; expected a file, since TLS needs the certificate and its key")
    for name in ("tls_certificate", "tls_key"):
        file = getattr(config, name)
        if file and not os.access(file, os.R_OK):
            raise ConfigInvalid(f"{name} is {file!r}; expected a file that this user may read")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
