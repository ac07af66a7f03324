"""Whole steps by which an axis is late."""

import numpy as np
import pytest

from mppi_maml_ros.dynamics.features import MAX_TRANSPORT_DELAY
from mppi_maml_ros.dynamics.identification.transport import FEWEST, INSIDE, transport_delay
from mppi_maml_ros.dynamics.transitions import Transitions

DT, TAPS = 0.05, 4


def driven(steps, count=100, noise=0.01, seed=0, still=False):
    """A lag of .2 s behind commands that act ``steps`` later on (v, omega)."""
    rng = np.random.default_rng(seed)
    times = np.arange(count + 40) * DT
    commands = np.stack([0.3 + 0.2 * np.sin(1.1 * times), np.sin(0.8 * times + 1.0)], axis=1)
    commands += 0.05 * rng.normal(size=commands.shape)  # one sine alone tells of no delay
    if still:
        commands[:] = 0.3, 0.5
    twist = np.zeros((count + 41, 2)) + commands[0]
    for k in range(count + 40):
        acting = [commands[max(k - steps[a], 0), a] for a in (0, 1)]
        twist[k + 1] = 0.8 * twist[k] + 0.2 * np.array(acting)
    told = twist + noise * rng.normal(size=twist.shape)
    states = np.concatenate([np.zeros((len(told), 3)), told], axis=1)
    rows = np.arange(40, 40 + count)
    history = np.stack([commands[rows - 1 - k] for k in range(TAPS + MAX_TRANSPORT_DELAY)], axis=1)
    return Transitions(
        rows * DT, states[rows], commands[rows], history, states[rows + 1], np.zeros(count, dtype=int), DT
    )


@pytest.mark.parametrize("steps", [(6, 0), (0, 10), (9, 9), (14, 7), (16, 16)])
def test_what_is_late_is_found_within_what_the_inputs_hold(steps):
    found = transport_delay(driven(steps), TAPS)
    for late, true in zip(found, steps, strict=True):
        # Of a delay within the inputs' own reach nothing need be taken out.
        assert late == 0 if true == 0 else late <= true <= late + TAPS


@pytest.mark.parametrize("steps", [(0, 0), (1, 2), (3, 3)])
def test_what_the_inputs_hold_is_not_late(steps):
    assert transport_delay(driven(steps), TAPS) == (0, 0)


def test_a_steady_drive_tells_nothing():
    assert transport_delay(driven((10, 10), still=True), TAPS) == (0, 0)
    assert transport_delay(driven((10, 10), still=True), TAPS, before=(5, 7)) == (5, 7)


def test_few_data_leave_what_is_known():
    data = driven((10, 10))[: FEWEST - 1]
    assert transport_delay(data, TAPS) == (0, 0) and transport_delay(data, TAPS, (8, 8)) == (8, 8)


def test_a_short_history_allows_what_it_holds():
    data = driven((10, 10))
    short = Transitions(
        data.stamps, data.states, data.commands, data.history[:, :TAPS], data.next_states, data.segments, DT
    )
    assert transport_delay(short, TAPS) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_the_delay_stays_while_the_data_do_not_speak_against_it(seed):
    found = transport_delay(driven((10, 8), seed=seed), TAPS)
    again = transport_delay(driven((10, 8), seed=seed + 50), TAPS, found)
    assert again == found and min(found) >= 4 and INSIDE < TAPS
