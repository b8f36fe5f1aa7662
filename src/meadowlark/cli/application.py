"""The application that all commands join, and how it ends.

A module of this package adds its commands with `@application.command()`, or a Typer of its own with `add_typer`; `__init__`
imports each of them, and that is all the wiring there is.

Whatever is refused ends with one line on stderr and exit code 2: nothing has been started or changed then. Commands that ask a
server have codes of their own for what it says, see `Exit`.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import typer
import typer.core

from meadowlark.errors import MeadowlarkError, WorldError
from meadowlark.ids import DATABASE_NAME

EXIT_REFUSED = 2
"""Exit code when nothing was started or changed, as for a wrong flag."""


class Exit(enum.IntEnum):
    """Exit codes of the commands that ask a server, for scripts. Also in docs/cli.md."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = EXIT_REFUSED
    REFUSED = 3
    UNREACHABLE = 4
    INCOMPLETE = 5


class Failed(WorldError):
    """A command cannot go on; it ends with `exit_code`."""

    def __init__(self, exit_code: Exit, text: str) -> None:
        super().__init__(text)
        self.exit_code = exit_code


_UsageError: Any = typer.BadParameter.__base__
"""What typer raises for a command line that cannot be read; it has no public name for it."""


class Commands(typer.core.TyperGroup):
    """All commands. A wrong line says what to type instead, if that can be told, and is JSON where that was asked for."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            meant = _find_meant(error)
            if meant:
                error.message += f"; the database is a flag, did you mean: meadowlark {meant}"
            if "--json" in sys.argv:
                raise Failed(Exit.USAGE, error.format_message()) from error
            raise


def _find_meant(error: Any) -> str:
    """`get demo /tasks` was meant as `get /tasks --database demo`; "" if it was something else."""
    extra = re.fullmatch(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", error.message)
    if extra is None or error.ctx is None or error.ctx.params.get("database", "") is not None:
        return ""
    arguments = [error.ctx.params.get(each.name) for each in error.ctx.command.params if each.param_type_name == "argument"]
    first, *others = [str(word) for word in arguments if word is not None]
    if not DATABASE_NAME.fullmatch(first):
        return ""
    return f"{error.ctx.info_name} {shlex.join([*others, extra[1]])} --database {first}"


application = typer.Typer(
    name="meadowlark",
    cls=Commands,
    help="Meadowlark: a realtime JSON database that you run yourself, for the official Firebase SDKs and plain HTTP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Whoever reads our output may have had enough: that ends the command, and is no error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # For what is still in the buffer.
        raise typer.Exit(Exit.DONE) from None


def main() -> None:
    """The `meadowlark` command."""
    try:
        application()
    except MeadowlarkError as error:
        code = error.exit_code if isinstance(error, Failed) else EXIT_REFUSED
        typer.echo(json.dumps({"error": str(error), "exit": code}) if "--json" in sys.argv else f"meadowlark: {error}", err=True)
        sys.exit(code)
