"""The application that all commands join, and how it ends.

A module of this package adds its commands with `@application.command()`, or a Typer of its own with `add_typer`; `__init__`
imports each of them, and that is all the wiring there is.

Whatever is refused ends with one line on stderr and exit code 2: nothing has been started or changed then.
"""

from __future__ import annotations

import sys

import typer

from meadowlark.errors import MeadowlarkError

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


def main() -> None:
    """The `meadowlark` command."""
    try:
        application()
    except MeadowlarkError as error:
        typer.echo(f"meadowlark: {error}", err=True)
        sys.exit(EXIT_REFUSED)
