"""Late and missed ticks."""

import pytest

from mppi_maml_ros.control.config import ControlConfig
from mppi_maml_ros.control.pace import Pace

PERIOD = 0.05


@pytest.fixture
def pace():
    return Pace(ControlConfig(controller_frequency=20.0, overrun_limit=3, overrun_recovery=4))


def tick(pace, *periods, start=0.0):
    """Ticks after these many periods; returns when the last one came [s]."""
    for period in periods:
        start += period * PERIOD
        pace.count(start)
    return start


def test_the_first_tick_has_no_period_and_is_never_late(pace):
    assert pace.count(100.0) is None
    assert (pace.cycles, pace.late_cycles) == (1, 0)


@pytest.mark.parametrize(("periods", "late"), [(1.0, 0), (1.19, 0), (1.21, 1), (5.0, 1)])
def test_a_tick_is_late_a_fifth_of_a_period_after_its_time(pace, periods, late):
    tick(pace, 0.0, periods)
    assert pace.late_cycles == late


def test_more_missed_periods_in_a_row_than_allowed_are_a_fault_that_names_the_rate(pace):
    now = tick(pace, 0.0, 2.5, 2.5, 2.5)
    assert pace.fault is None
    tick(pace, 2.5, start=now)
    assert pace.fault == "control ran at 8.0 Hz instead of 20 Hz"


def test_a_period_on_time_between_them_begins_the_count_anew(pace):
    tick(pace, 0.0, 2.5, 2.5, 2.5, 1.0, 2.5, 2.5, 2.5)
    assert pace.fault is None


def test_the_fault_ends_with_enough_periods_on_time_or_when_forgiven(pace):
    now = tick(pace, 0.0, 2.5, 2.5, 2.5, 2.5)
    now = tick(pace, 1.0, 1.0, 1.0, start=now)
    assert pace.fault is not None
    tick(pace, 1.0, start=now)
    assert pace.fault is None
    tick(pace, 2.5, 2.5, 2.5, 2.5, start=now + PERIOD)
    assert pace.fault is not None
    pace.forgive()
    assert pace.fault is None


def test_a_clock_that_steps_back_counts_as_no_time(pace):
    pace.count(1.0)
    assert pace.count(0.5) == 0.0 and pace.late_cycles == 0


def test_another_frequency_counts_from_the_next_tick_on(pace):
    now = tick(pace, 0.0, 1.0)
    pace.configure(ControlConfig(controller_frequency=50.0))
    tick(pace, 1.0, start=now)
    assert pace.late_cycles == 1
