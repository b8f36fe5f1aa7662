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
import sys
from collections.abc import Iterator

import typer

from meadowlark.errors import MeadowlarkError, WorldError

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


application = typer.Typer(
    name="meadowlark",
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
