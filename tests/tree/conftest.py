"""Random tests here are bounded by their number of examples, not by the clock of a machine that others use too."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("tree", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tree")
