"""What a drive tells of each axis, on robots whose truth is known."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.calibration.fit import identify, simulated
from mppi_maml_ros.calibration.record import Record
from mppi_maml_ros.calibration.study import calibrate_drawn
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import Odometry


@pytest.mark.parametrize("seed", range(20))
def test_gain_lag_and_delay_of_a_drawn_robot_are_found(seed):
    """Within 5 %, 10 % and one sample of odometry, in less than 90 s; odd seeds have dead bands."""
    for outcome in calibrate_drawn(seed):
        assert outcome.good, outcome
        assert outcome.seconds < 90.0
        assert abs(outcome.dead_band_error) < (0.03 if outcome.axis == "v" else 0.06)


def test_every_axis_has_its_own_delay_up_to_most_of_a_second(record_of):
    v, omega = identify(record_of(v={"delay": 0.8}, omega={"delay": 0.03}))
    assert v.delay.value == pytest.approx(0.8, abs=0.01)
    assert omega.delay.value == pytest.approx(0.03, abs=0.01)


def test_a_dead_band_that_only_has_to_be_overcome_swallows_nothing(record_of):
    v, omega = identify(record_of(v={"dead_band": 0.15}, omega={"dead_band": 0.5, "lost": 0.5}))
    assert v.dead.value == pytest.approx(0.15, abs=0.02) and v.lost == pytest.approx(0.0, abs=0.02)
    assert v.gain.value == pytest.approx(0.8, rel=0.03)
    assert omega.dead.value == pytest.approx(0.5, abs=0.03) and omega.lost == pytest.approx(0.5, abs=0.03)


def test_bounds_of_the_acceleration_are_found_where_they_are_met(record_of):
    v, omega = identify(record_of(v={"acceleration": 0.6, "deceleration": 0.9, "time_constant": 0.1}))
    assert v.acceleration == pytest.approx(0.6, rel=0.05)
    assert v.deceleration == pytest.approx(0.9, rel=0.05)
    assert v.time_constant.value == pytest.approx(0.1, abs=0.02)
    assert np.isinf([omega.acceleration, omega.deceleration]).all()


@pytest.mark.slow
def test_intervals_are_about_as_wide_as_errors():
    """Three quarters of 24 intervals of 95 % hold the truth at least, and none is far off."""
    from mppi_maml_ros.calibration.guided import GuidedDrive, driven
    from mppi_maml_ros.calibration.simulated import SimulatedDriver, drawn
    from mppi_maml_ros.calibration.study import FLOOR

    ratios = []
    for seed in range(40, 48, 2):
        truth = drawn(seed, dead_bands=False)
        axes = identify(driven(GuidedDrive(SimulatedDriver(truth.world, truth.rate), FLOOR)))
        for i, axis in enumerate(axes):
            for name in ("gain", "time_constant", "delay"):
                found = getattr(axis, name)
                ratios.append(abs(found.value - getattr(truth, name)[i]) / found.within)
    assert np.mean(np.array(ratios) <= 1.0) > 0.75
    assert max(ratios) < 4.0


def test_a_twist_that_repeats_the_command_is_left_out_of_the_fit(record_of):
    record = record_of(v={"gain": 0.6})
    at = np.searchsorted(record.command_stamps, record.stamps, side="right") - 1
    echo = record.twists.copy()
    echo[:, 0] = record.commands[np.maximum(at, 0), 0]
    v, omega = identify(attrs.evolve(record, twists=echo))
    assert v.source.startswith("pose: the twist repeats the command")
    assert v.gain.value == pytest.approx(0.6, rel=0.03)
    assert v.time_constant.value == pytest.approx(0.2, rel=0.1)
    assert omega.source == "twist"


def test_what_was_found_predicts_what_was_left_out(record_of):
    record = record_of()
    v, _ = identify(record)
    later = record.stamps >= record.held_out_from
    assert later.sum() > 200 and v.held_out > 0.98
    missed = simulated(record, v)[later] - record.twists[later, 0]
    assert np.sqrt(np.mean(missed**2)) < 1.2 * 0.01


def test_an_axis_that_was_not_commanded_is_named(record_of):
    record = record_of()
    commands = record.commands.copy()
    commands[:, 1] = 0.0
    with pytest.raises(InvalidValueError, match="omega was not commanded"):
        identify(attrs.evolve(record, commands=commands))


def test_an_axis_that_does_not_move_is_named(record_of):
    with pytest.raises(InvalidValueError, match=r"omega did not move by commands of up to 1\.\d+ rad/s"):
        identify(record_of(omega={"dead_band": 2.0, "lost": 2.0}))


def test_too_few_messages_are_named():
    samples = [Odometry(0.1 * k, np.zeros(3), np.zeros(2)) for k in range(20)]
    with pytest.raises(InvalidValueError, match="at least 100 odometry messages, got 1 and 20"):
        Record.of([(0.0, np.zeros(2))], samples)
