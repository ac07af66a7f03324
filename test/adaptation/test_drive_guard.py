"""Who strays by an adapter has it relieved, and for longer each time; nobody else does."""

import math
from pathlib import Path

import numpy as np
import pytest

from mppi_maml_ros.adaptation.drive_guard import (
    AT_FIRST,
    FORGIVEN,
    LEAST,
    LONGEST,
    PAUSE,
    RELIEVED,
    SETTLED,
    WINDOW,
    DriveGuard,
)

PERIOD = 0.05
ENOUGH = SETTLED + 2.0 * WINDOW


def follow(guard, error, start, lasts):
    """The stamp at which the robot is found to stray first; NaN when it never is."""
    for stamp in np.arange(start, start + lasts, PERIOD):
        if guard.add(stamp, error(stamp - start) if callable(error) else error):
            return stamp
    return math.nan


@pytest.mark.parametrize(("error", "strays"), [(LEAST - 1e-3, False), (LEAST + 1e-3, True)])
def test_small_errors_are_nobodys_fault(error, strays):
    assert math.isfinite(follow(DriveGuard(), error, 0.0, ENOUGH)) is strays


def test_an_error_that_shrinks_is_being_made_good():
    assert math.isnan(follow(DriveGuard(), lambda t: 1.0 - 0.1 * t, 0.0, ENOUGH))


def test_an_error_that_swings_is_not_made_good():
    assert math.isfinite(follow(DriveGuard(), lambda t: abs(0.1 * math.sin(2.0 * t)), 0.0, ENOUGH))


def test_straying_is_noticed_within_a_second():
    guard, stray = DriveGuard(), 10.0
    noticed = follow(guard, lambda t: 0.002 + 0.1 * max(t - stray, 0.0), 0.0, 20.0)
    assert stray < noticed <= stray + 1.0


def test_at_first_and_after_a_pause_a_robot_has_something_to_make_good():
    guard = DriveGuard()
    assert follow(guard, 0.06, 0.0, ENOUGH) == pytest.approx(AT_FIRST, abs=2.0 * PERIOD)
    late = AT_FIRST + 2.0 * PAUSE
    assert follow(guard, 0.06, late, ENOUGH) == pytest.approx(late + SETTLED, abs=2.0 * PERIOD)
    guard.unsettle(late)
    again = late + ENOUGH
    assert follow(guard, 0.06, again, ENOUGH) == pytest.approx(again + SETTLED, abs=2.0 * PERIOD)


def test_nobody_is_relieved_unasked():
    guard = DriveGuard()
    assert not guard.relieved(-math.inf) and not guard.relieved(0.0)


def test_each_time_is_twice_as_long():
    guard, at, kept = DriveGuard(), 0.0, []
    for _ in range(6):
        guard.relieve(at)
        assert guard.relieved(at + PERIOD)
        begun = at
        while guard.relieved(at):
            at += 0.5
        kept.append(at - begun)
    assert kept == [min(RELIEVED * 2.0**k, LONGEST) for k in range(6)]


@pytest.mark.parametrize(("waits", "longer"), [(0.99, 2.0), (1.01, 1.0)])
def test_after_a_long_while_the_next_time_is_the_first_again(waits, longer):
    guard = DriveGuard()
    guard.relieve(0.0)
    at = RELIEVED + waits * FORGIVEN * RELIEVED
    guard.relieve(at)
    assert guard.relieved(at + longer * RELIEVED - PERIOD)
    assert not guard.relieved(at + longer * RELIEVED + PERIOD)


def test_errors_that_are_not_known_are_left_out():
    guard = DriveGuard()
    assert guard.add(0.0, math.nan) is False
    stray = follow(guard, 0.06, 0.0, ENOUGH)
    assert not guard.add(stray + PERIOD, math.nan)
    assert guard.add(stray + 2.0 * PERIOD, 0.06)


def test_after_what_was_not_to_be_believed_a_robot_has_something_to_make_good_at_once():
    guard = DriveGuard()
    stray = follow(guard, 0.06, 0.0, ENOUGH)
    assert guard.add(stray + PERIOD, 0.06)
    guard.unsettle(stray)
    assert guard.add(stray + 2.0 * PERIOD, 0.06) is False


@pytest.mark.parametrize(("since", "innocent"), [(9.9, True), (10.1, False)])
def test_who_was_relieved_by_what_is_not_to_be_believed_is_not(since, innocent):
    guard = DriveGuard()
    guard.relieve(10.0)
    assert guard.unsettle(since) is innocent
    assert guard.relieved(11.0) is not innocent
    assert guard.unsettle(since) is False


def test_it_is_as_the_documentation_says():
    page = (Path(__file__).resolve().parents[2] / "docs" / "how_adaptation_works.md").read_text("utf-8")
    assert "a tracking error above 2 cm over a second" in page and (LEAST, WINDOW) == (0.02, 1.0)
    assert "for a minute, two the next" in page and "up to 16" in page
    assert (RELIEVED, LONGEST) == (60.0, 16 * 60.0)


def test_a_reset_forgets():
    guard = DriveGuard()
    follow(guard, 0.06, 0.0, ENOUGH)
    guard.relieve(ENOUGH)
    guard.reset()
    assert not guard.relieved(ENOUGH)
    assert follow(guard, 0.06, 0.0, ENOUGH) == pytest.approx(AT_FIRST, abs=2.0 * PERIOD)


@pytest.mark.parametrize(("gap", "paused"), [(0.29, False), (0.31, True)])
def test_three_tenths_of_a_second_without_an_error_are_a_pause(gap, paused):
    guard = DriveGuard()
    stray = follow(guard, 0.06, 0.0, ENOUGH)
    assert guard.add(stray + gap, 0.06) is not paused
    assert follow(guard, 0.06, stray + gap + PERIOD, ENOUGH) > stray + (SETTLED if paused else 0.0)


def test_a_pause_of_just_that_length_and_the_same_stamp_again_are_none():
    for gap in (PAUSE, 0.0):
        guard = DriveGuard()
        for stamp in np.arange(-8.0, 0.0, 0.25):
            guard.add(stamp, 0.06)
        assert guard.add(0.0, 0.06) and guard.add(gap, 0.06)


def test_stamps_that_go_back_are_a_pause():
    guard = DriveGuard()
    stray = follow(guard, 0.06, 0.0, ENOUGH)
    assert not guard.add(stray - 1.0, 0.06)


def test_an_error_of_exactly_the_least_is_nobodys_fault():
    guard = DriveGuard()
    for stamp in np.arange(0.0, 8.0, 0.25):
        assert guard.add(stamp, LEAST) is False


def test_errors_before_a_pause_do_not_count_after_it():
    guard = DriveGuard()
    follow(guard, 1.0, 0.0, 2.0)
    begin = 2.0 + 2.0 * PAUSE
    assert math.isnan(follow(guard, LEAST / 2.0, begin, ENOUGH))


def test_the_times_are_those_that_were_decided_on():
    """Three seconds from the start, five after a pause, and forgiven after five times as long."""
    guard = DriveGuard()
    assert follow(guard, 0.06, 0.0, 10.0) == pytest.approx(3.0, abs=2.0 * PERIOD)
    guard = DriveGuard()
    guard.add(0.0, 0.06)
    assert follow(guard, 0.06, 1.0, 10.0) == pytest.approx(6.0, abs=2.0 * PERIOD)
    guard.relieve(0.0)
    guard.relieve(60.0 + 299.0)
    assert guard.relieved(60.0 + 299.0 + 119.0)
    guard.reset()
    guard.relieve(0.0)
    guard.relieve(60.0 + 300.0)
    assert not guard.relieved(60.0 + 300.0 + 61.0)
