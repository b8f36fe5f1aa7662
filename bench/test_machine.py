"""What measuring changes about the machine is undone afterwards."""

from __future__ import annotations

import os

import pytest

from bench import machine


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def test_what_is_measured_goes_first_and_afterwards_all_is_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    before, group = niceness(), machine._autogroup_niceness()
    with machine.ahead_of_others():
        assert niceness() == machine.PRIORITY or "only root" in capsys.readouterr().err
    assert (niceness(), machine._autogroup_niceness()) == (before, group)
