"""Little room ahead, so that files in memory stay small; and where asked for, small segments, so that they change often."""

from __future__ import annotations

import pytest

from meadowlark.journal import log, segment


@pytest.fixture(autouse=True, scope="module")
def little_room():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment, "ALLOCATE_BYTES", 512)
        yield


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(log, "SEGMENT_BYTES_MAX", 600)
