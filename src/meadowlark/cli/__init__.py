"""The command line.

`application` holds the program and how it ends, `options` the flags that commands share; every other module adds commands of
one kind, with others that only they use. Workers never import this package, and what only one command needs is imported by that
command, so `--help` stays quick.
Source: docs/operating.md, docs/cli.md.
"""

from meadowlark.cli import data, databases, identity, operating, rules, starting
from meadowlark.cli.application import EXIT_REFUSED, application, main

__all__ = ["EXIT_REFUSED", "application", "data", "databases", "identity", "main", "operating", "rules", "starting"]
