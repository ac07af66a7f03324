"""Measures of a recorded run."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.system.recording import (
    ACCEPTED,
    RUNNING,
    AdaptationReport,
    ControlStep,
    Recording,
    Truth,
    analyse,
)

STEP = ControlStep(
    stamp=0.0,
    state=RUNNING,
    reference_x=0.0,
    reference_y=0.0,
    command_v=0.5,
    command_omega=0.1,
    tracking_error=0.0,
    weights_version=0,
    step_ms=1.0,
    period_ms=50.0,
    cycles=0,
    late_cycles=0,
)
REPORT = AdaptationReport(
    stamp=0.0,
    decision=0,
    reason="",
    adapt_ms=0.0,
    swap_ms=0.0,
    swaps_accepted=0,
    swaps_rejected=0,
    changes_detected=0,
)


def moving_robot(offset=0.3, start=100.0, steps=200):
    """Truth along x at 1 m/s at 10 Hz; the reference runs ``offset`` ahead and is sampled in between."""
    truth = [Truth(start + 0.1 * k, 0.1 * k, 0.0, 0.0, 1.0, 0.0) for k in range(steps // 2 + 2)]
    controls = [
        attrs.evolve(STEP, stamp=start + 0.02 + 0.05 * k, reference_x=0.02 + 0.05 * k + offset, cycles=k)
        for k in range(steps)
    ]
    return Recording(truth=truth, steps=controls)


def test_error_is_taken_at_the_time_of_the_reference():
    run = analyse(moving_robot(offset=0.3), duration=100.0)
    np.testing.assert_allclose(run.error, 0.3, atol=1e-9)
    assert run.rmse() == pytest.approx(0.3)


def test_clock_starts_with_the_first_tracked_period():
    recording = moving_robot()
    waiting = [attrs.evolve(step, state=0) for step in recording.steps[:40]]
    recording.steps[:40] = waiting
    run = analyse(recording, duration=2.0)
    assert run.time[0] == 0.0
    assert run.time[-1] == pytest.approx(2.0)
    assert len(run.time) == 41


def test_rmse_after_a_time_leaves_out_what_was_before():
    recording = moving_robot(offset=0.0)
    recording.steps[:100] = [attrs.evolve(s, reference_y=1.0) for s in recording.steps[:100]]
    run = analyse(recording, duration=100.0)
    assert run.rmse() == pytest.approx(np.sqrt(0.5))
    assert run.rmse(after=5.0) == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(run.rmse(after=1e3))


def test_start_is_known_when_the_truth_comes_late():
    recording = moving_robot(offset=0.0)
    recording.truth = recording.truth[6:]
    run = analyse(recording, duration=100.0)
    assert run.time[0] == 0.0
    assert run.error[0] == 0.0
    np.testing.assert_allclose(run.error, 0.0, atol=0.02)


def test_truth_in_disorder_is_put_in_order():
    recording = moving_robot(offset=0.1)
    recording.truth.reverse()
    np.testing.assert_allclose(analyse(recording, duration=100.0).error, 0.1, atol=1e-9)


def test_late_fraction_counts_only_the_tracked_periods():
    recording = moving_robot(steps=101)
    recording.steps = [
        attrs.evolve(s, cycles=500 + i, late_cycles=7 + (i >= 50)) for i, s in enumerate(recording.steps)
    ]
    assert analyse(recording, duration=100.0).late_fraction == pytest.approx(0.01)


def test_swaps_and_adaptation_times_are_counted_once_each():
    recording = moving_robot()
    rows = [(1.0, 0, 0, 0.0), (2.0, 1, 0, 20.0), (2.5, 1, 0, 20.0), (3.0, 1, 1, 30.0), (4.0, 3, 1, 40.0)]
    recording.reports = [
        attrs.evolve(
            REPORT, stamp=100.02 + t, decision=ACCEPTED, swaps_accepted=a, swaps_rejected=r, adapt_ms=ms
        )
        for t, a, r, ms in rows
    ]
    run = analyse(recording, duration=100.0)
    np.testing.assert_allclose(run.swap_times, [2.0, 4.0])
    np.testing.assert_allclose(run.rejection_times, [3.0])
    np.testing.assert_allclose(run.adapt_ms, [20.0, 30.0, 40.0])
    assert (run.swaps_accepted, run.swaps_rejected, run.adapt_ms_p50) == (3, 1, 30.0)


def test_run_without_adaptation_has_no_swaps():
    run = analyse(moving_robot(), duration=100.0)
    assert run.swaps_accepted == 0
    assert len(run.swap_times) == 0
    assert np.isnan(run.adapt_ms_p50)


def test_periods_in_which_the_robot_was_not_driven_are_told():
    recording = moving_robot()
    recording.steps[0] = attrs.evolve(recording.steps[0], state=0, reason="waiting")
    recording.steps[50] = attrs.evolve(recording.steps[50], state=3, reason="odometry is 0.3 s old")
    run = analyse(recording, duration=100.0)
    assert run.interruptions == ("odometry is 0.3 s old",)
    assert len(run.time) == 198


@pytest.mark.parametrize("spoil", ["steps", "truth"])
def test_recording_without_a_tracked_period_is_refused(spoil):
    recording = moving_robot()
    setattr(recording, spoil, [])
    with pytest.raises(ValueError, match="never tracked"):
        analyse(recording, duration=10.0)
