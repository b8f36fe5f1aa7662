"""The tables that the official JavaScript SDK computed (tests/specs/README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "specs" / "vectors.json").read_bytes())

NEGATIVE_ZERO_HASH = "m/gA365Q5OBo06Bg8wdybAAiMSQ="
"""Of the entry that shows 0 but is -0, which JSON could not carry."""

HASHES: list[dict[str, Any]] = [entry for entry in VECTORS["hashes"] if entry["hash"] != NEGATIVE_ZERO_HASH]
