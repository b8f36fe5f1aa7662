"""How long a connection waits."""

from __future__ import annotations

import pytest

from meadowlark.server.patience import PHASE_SECONDS, Patience, Phase


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.OURS])
def test_each_phase_ends_after_its_time_and_not_before(phase: Phase) -> None:
    patience, seconds = Patience(), PHASE_SECONDS[phase]
    assert [patience.is_over(phase, 1000.0 + after) for after in (0.0, seconds, seconds + 0.1)] == [False, False, True]


def test_waiting_for_ourselves_has_no_end() -> None:
    patience = Patience()
    assert not patience.is_over(Phase.OURS, 0.0)
    assert not patience.is_over(Phase.OURS, 1e12)


def test_another_phase_and_progress_begin_anew() -> None:
    patience = Patience()
    patience.is_over(Phase.HEAD, 0.0)
    assert not patience.is_over(Phase.BODY, 100.0)
    patience.progress()
    assert not patience.is_over(Phase.BODY, 1000.0)
    assert patience.is_over(Phase.BODY, 1061.0)


def test_every_phase_has_its_time() -> None:
    assert set(PHASE_SECONDS) == set(Phase)
