"""The measuring tool measures what it says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bench.process import cpu_seconds, memory_mib
from bench.report import Row

from visavis.capacity.player import Player


def play(*arrivals: float) -> Player:
    player = Player(fps=10.0)
    for frame, at in enumerate(arrivals):
        player.arrive(frame, at)
    return player


def test_playing_begins_with_the_third_frame_and_leads_count_from_there() -> None:
    player = play(0.0, 0.0, 1.0, 1.1, 1.2)
    assert player.leads == pytest.approx([0.2, 0.2])
    assert player.underruns == 0
    assert player.heard(1.25) == 2


def test_nothing_is_heard_before_the_third_frame() -> None:
    assert play(0.0, 0.1).heard(9.0) == -1


def test_a_late_frame_is_one_underrun_however_late_and_playing_waits_for_three_again() -> None:
    # Frame 3 is needed at 1.3; it comes at 2.0, and frames 3, 4, 5 make the new start at 2.2.
    player = play(1.0, 1.0, 1.0, 2.0, 2.1, 2.2, 2.3, 2.4)
    assert player.underruns == 1
    assert player.leads == pytest.approx([0.2, 0.2])
    assert player.heard(2.2) == 3


def test_a_second_stall_is_counted_again() -> None:
    assert play(0, 0, 0, 1.0, 1.0, 1.0, 5.0).underruns == 2


def test_rows_tell_the_bad_side_of_a_distribution() -> None:
    values = list(range(101))
    assert Row("x", "ms", values).markdown() == "| x, ms | 101 | 50 | 95 | 99 | 100 |"
    assert Row("x", "ms", values, low=True).markdown() == "| x, ms | 101 | 50 | 5 | 1 | 0 |"
    assert Row("x", "", [7]).markdown() == "| x | 1 | 7 | | | |"
    assert Row("x", "", []).markdown() == "| x | 0 | - | - | - | - |"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_the_cost_of_this_process() -> None:
    before = cpu_seconds(os.getpid())
    sum(number * number for number in range(2_000_000))
    assert cpu_seconds(os.getpid()) > before
    assert 0 < memory_mib(os.getpid()) <= memory_mib(os.getpid(), "VmHWM")
