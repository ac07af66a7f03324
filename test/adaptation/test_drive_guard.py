"""Who strays by what was learned drives by the prior, and for longer each time; nobody else does."""

import math

import numpy as np
import pytest

from mppi_maml_ros.adaptation import drive_guard
from mppi_maml_ros.adaptation.drive_guard import (
    AT_FIRST,
    BETTER,
    FARTHER,
    KEPT_AWAY,
    LEAST,
    LONGEST,
    SETTLED,
    SWITCH,
    TRIAL,
    WINDOW,
    DriveGuard,
)

PERIOD = 0.05
ENOUGH = SETTLED + 2.0 * WINDOW


def follow(guard, error, start, lasts, learned=True):
    """The stamp at which the weights are suspected first; NaN when they are not."""
    for stamp in np.arange(start, start + lasts, PERIOD):
        if guard.add(stamp, error(stamp - start) if callable(error) else error, learned):
            return stamp
    return math.nan


def straying(guard, start):
    stamp = follow(guard, 0.06, start, ENOUGH)
    guard.convict(stamp)
    return stamp


@pytest.mark.parametrize(("error", "suspected"), [(LEAST - 1e-3, False), (LEAST + 1e-3, True)])
def test_small_errors_are_nobodys_fault(error, suspected):
    assert math.isfinite(follow(DriveGuard(), error, 0.0, ENOUGH)) is suspected


def test_the_prior_is_never_suspected():
    assert math.isnan(follow(DriveGuard(), 1.0, 0.0, ENOUGH, learned=False))


def test_an_error_that_shrinks_is_being_made_good():
    assert math.isnan(follow(DriveGuard(), lambda t: 1.0 - 0.1 * t, 0.0, ENOUGH))


def test_straying_is_noticed_within_a_second():
    guard, stray = DriveGuard(), 10.0
    noticed = follow(guard, lambda t: 0.002 + 0.1 * max(t - stray, 0.0), 0.0, 20.0)
    assert stray < noticed <= stray + 1.0


def test_what_came_before_a_pause_or_from_what_is_not_to_be_believed_does_not_count():
    guard = DriveGuard()
    follow(guard, 0.001, 0.0, ENOUGH)
    late = ENOUGH + 2.0 * drive_guard.PAUSE
    assert follow(guard, 0.06, late, ENOUGH) == pytest.approx(late + SETTLED, abs=2 * PERIOD)
    guard.unsettle()
    again = late + ENOUGH
    assert follow(guard, 0.06, again, ENOUGH) == pytest.approx(again + SETTLED, abs=2 * PERIOD)


def test_nothing_learned_serves_while_the_prior_is_tried():
    guard = DriveGuard()
    at = straying(guard, 0.0)
    assert "the prior drives" in guard.barred(at)
    assert guard.barred(at + WINDOW + TRIAL) == ""


def test_a_better_prior_stays_for_longer_each_time():
    guard, at, kept = DriveGuard(), 0.0, []
    for _ in range(6):
        at = straying(guard, at) + PERIOD
        follow(guard, 0.01, at, TRIAL + 2.0 * PERIOD, learned=False)
        kept.append(guard.barred_until - at - TRIAL)
        at = guard.barred_until
    assert kept == pytest.approx([min(KEPT_AWAY * 2.0**k, LONGEST) for k in range(6)], abs=2.0 * PERIOD)


def test_after_a_long_while_the_next_time_is_the_first_again():
    guard = DriveGuard()
    for at in (0.0, 10.0, 10.0 + (drive_guard.FORGIVEN + 1.0) * 2.0 * KEPT_AWAY + 10.0):
        guard.bar(at)
    assert guard.barred_until - at == KEPT_AWAY


def test_where_the_prior_is_no_better_the_path_is_difficult_and_the_weights_return():
    guard = DriveGuard()
    at = straying(guard, 0.0) + PERIOD
    follow(guard, 0.05, at, TRIAL + 2.0 * PERIOD, learned=False)
    assert guard.barred(at + TRIAL + 3.0 * PERIOD) == ""
    at += TRIAL + 3.0 * PERIOD
    assert math.isnan(follow(guard, 0.06, at, ENOUGH))  # what it did before is accepted
    assert math.isfinite(follow(guard, 0.2, at + ENOUGH, ENOUGH))


@pytest.mark.parametrize(("share", "stays"), [(0.98 / BETTER, True), (1.02 / BETTER, False)])
def test_the_prior_stays_where_it_does_clearly_better(share, stays):
    guard = DriveGuard()
    at = straying(guard, 0.0) + PERIOD
    follow(guard, share * 0.06, at, TRIAL + 2.0 * PERIOD, learned=False)
    assert (guard.barred(at + TRIAL + 3.0 * PERIOD) != "") is stays


def test_a_trial_ends_when_the_robot_is_much_farther_off_than_at_the_switch():
    guard = DriveGuard()
    at = straying(guard, 0.0) + PERIOD
    follow(guard, FARTHER * 0.06 - 1e-3, at, TRIAL / 2.0, learned=False)
    assert guard.barred(at + TRIAL / 2.0) != ""
    guard.add(at + TRIAL / 2.0, FARTHER * 0.06 + 1e-3, False)
    assert guard.barred(at + TRIAL / 2.0) == ""


def test_what_the_robot_still_does_by_the_weights_is_not_the_priors_fault():
    guard = DriveGuard()
    at = straying(guard, 0.0) + PERIOD
    follow(guard, 2.0 * FARTHER * 0.06, at, SWITCH - PERIOD, learned=False)
    assert guard.barred(at + SWITCH) != ""


def test_the_weights_return_as_soon_as_the_prior_does_worse_than_they_did():
    guard = DriveGuard()
    at = straying(guard, 0.0) + PERIOD
    follow(guard, 0.01, at, TRIAL + 2.0 * PERIOD, learned=False)
    at += TRIAL + 2.0 * PERIOD
    follow(guard, 0.059, at, WINDOW + PERIOD, learned=False)
    assert guard.barred(at + WINDOW + PERIOD) != ""
    at += WINDOW + PERIOD
    follow(guard, 0.061, at, WINDOW + 2.0 * PERIOD, learned=False)
    assert guard.barred(at + WINDOW + 2.0 * PERIOD) == ""
    # and what the prior did is what the path asks for
    assert math.isnan(follow(guard, 0.08, at + 2.0 * WINDOW, ENOUGH))


def test_errors_that_are_not_known_are_left_out():
    assert not DriveGuard().add(0.0, math.nan, True)
    assert math.isfinite(follow(DriveGuard(), 0.06, 0.0, ENOUGH))


def test_a_reset_forgets():
    guard = DriveGuard()
    straying(guard, 0.0)
    guard.reset()
    assert guard.barred(1.0) == ""


def test_before_the_first_sample_nothing_is_barred():
    assert DriveGuard().barred(-math.inf) == ""


def test_who_was_not_driven_for_a_while_makes_good_for_longer_than_who_begins():
    guard = DriveGuard()
    assert follow(guard, 0.06, 0.0, ENOUGH) == pytest.approx(AT_FIRST, abs=2 * PERIOD)
    late = ENOUGH + 2.0 * drive_guard.PAUSE
    assert follow(guard, 0.06, late, ENOUGH) == pytest.approx(late + SETTLED, abs=2 * PERIOD)


def test_an_acquittal_is_told_once_the_prior_did_no_better_and_not_before():
    guard = DriveGuard()
    at = straying(guard, 0.0) + PERIOD
    follow(guard, 0.059, at, TRIAL - 2.0 * PERIOD, learned=False)
    assert not guard.acquitted
    follow(guard, 0.059, at + TRIAL - 2.0 * PERIOD, 4.0 * PERIOD, learned=False)
    assert guard.acquitted
    straying(guard, at + ENOUGH)
    assert not guard.acquitted
