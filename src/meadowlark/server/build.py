"""Which build runs: `pure` is Python as it is written, `native` has the modules compiled that every message passes through.

Does not know: which modules those are, and how they are compiled (tools/native.py).
"""

from __future__ import annotations

from meadowlark.engine import database

BUILDS = ("pure", "native")
BUILD = BUILDS[not (database.__file__ or "").endswith(".py")]
