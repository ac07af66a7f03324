"""Loops of second order are found in noisy odometry."""

import numpy as np
import pytest

from mppi_maml_ros.dynamics.features import features
from mppi_maml_ros.dynamics.identification import second_order, servo
from mppi_maml_ros.dynamics.observer import innovations
from mppi_maml_ros.meta.tasks.worlds import transitions_of
from mppi_maml_ros.simulation.firmware import simulate_firmware
from mppi_maml_ros.simulation.firmware_parameters import FirmwareParameters

DT, TAPS = 0.05, 4
NOISE = np.square([0.003, 0.01, 0.03, 0.1])


def driven(frequency, damping, delay=0.0, gain=1.0, noise=0.01, steps=160, seed=0):
    """(base of omega, first): alike on both axes."""
    rng = np.random.default_rng(seed)
    base = FirmwareParameters(
        frequency_v=frequency, frequency_omega=frequency, damping_v=damping, damping_omega=damping,
        delay_v=delay, delay_omega=delay, gain_v=gain, gain_omega=gain, odometry_noise_v=noise,
        odometry_noise_omega=noise, process_noise_v=0.003, process_noise_omega=0.005,
    )  # fmt: skip
    t = np.arange(steps) * DT
    commands = np.stack([0.35 + 0.15 * np.sin(0.9 * t), 0.9 * np.sin(0.7 * t + 1.0)], axis=1)
    commands += rng.normal(0.0, 0.05, commands.shape)
    _, observed = simulate_firmware(base.as_vector()[None], commands[None], DT, np.array([seed]))
    inputs, residuals = transitions_of(observed, commands[None], TAPS, DT)
    first = np.zeros(inputs.shape[1], dtype=bool)
    first[0] = True
    return servo.ServoFamily.make(TAPS, DT).base(inputs[0], residuals[0])[1], first


def found(*args, **kwargs):
    base, first = driven(*args, **kwargs)
    return second_order.fit(1, base, first, NOISE, TAPS, DT, -np.inf)


@pytest.mark.parametrize("frequency", [4.0, 6.5, 10.0])
@pytest.mark.parametrize("damping", [0.25, 0.5])
def test_frequency_damping_and_delay_are_found(frequency, damping):
    fit = found(frequency, damping, delay=0.05, gain=0.8)
    assert fit.frequency == pytest.approx(frequency, rel=0.12)
    assert fit.damping == pytest.approx(damping, abs=0.08)
    assert fit.delay == pytest.approx(0.05, abs=0.035)
    # What is left of a robot that is of the family is noise: next to none persists.
    assert np.sqrt(fit.noise) < 0.03


def test_the_map_is_that_of_the_loop():
    frequency, damping, delay, gain = 6.0, 0.4, 0.07, 0.8
    fit = found(frequency, damping, delay=delay, gain=gain, noise=0.001)
    assert fit.momentum == pytest.approx(np.exp(-2.0 * damping * frequency * DT), rel=0.03)
    keep = fit.row[1]
    taps = fit.row[3 : 4 + 2 * TAPS : 2].sum() + 1.0  # the prior's own command beside
    assert taps / (1.0 - keep) == pytest.approx(gain, rel=0.03)


def test_its_innovations_are_white():
    base, first = driven(5.0, 0.3, steps=400)
    fit = second_order.fit(1, base, first, NOISE, TAPS, DT, -np.inf)
    inputs = np.zeros((len(base), 4 + 2 * TAPS))
    inputs[:, 1], inputs[:, 3::2] = base[:, 0], base[:, 1 : 2 + TAPS]
    measured, errors = np.zeros((len(base), 2)), np.zeros((len(base), 2))
    measured[:, 1], errors[:, 1] = base[:, 0], base[:, -1] - features(inputs) @ fit.row
    keep, momentum, gains = np.array([0.0, fit.row[1]]), np.array([0.0, fit.momentum]), np.ones((2, 2))
    gains[:, 1] = fit.observer
    left = innovations(errors, measured, first, keep, momentum, gains)[0][40:, 1]
    assert abs(np.corrcoef(left[1:], left[:-1])[0, 1]) < 0.15
    assert left.std() < 0.8 * errors[40:, 1].std()


def test_a_far_likelier_rival_ends_the_search():
    base, first = driven(5.0, 0.3)
    assert second_order.fit(1, base, first, NOISE, TAPS, DT, 1e6).evidence == -np.inf


def test_few_transitions_are_not_searched():
    base, first = driven(5.0, 0.3)
    few = second_order.FEWEST - 1
    fit = second_order.fit(1, base[:few], first[:few], NOISE, TAPS, DT, -np.inf)
    assert fit.evidence == -np.inf and fit.momentum == 0.0 and not fit.row.any()
