import math
import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from mppi_maml_ros.core.command_history import CommandHistory
from mppi_maml_ros.core.errors import InvalidValueError


def test_before_the_first_command_the_mean_is_zero():
    history = CommandHistory()
    assert history.mean_over(0.0, 1.0).tolist() == [0.0, 0.0]
    assert (history.history(5.0, 4, 0.05) == 0.0).all()
    history.record(10.0, (1.0, 2.0))
    np.testing.assert_allclose(history.mean_over(9.0, 11.0), [0.5, 1.0])


def test_a_command_holds_until_the_next_one():
    history = CommandHistory()
    history.record(0.0, (1.0, -1.0))
    history.record(1.0, (3.0, 1.0))
    np.testing.assert_allclose(history.mean_over(0.5, 1.5), [2.0, 0.0])
    np.testing.assert_allclose(history.mean_over(0.75, 1.25), [2.0, 0.0])
    assert history.mean_over(1.0, 9.0).tolist() == [3.0, 1.0]
    assert history.mean_over(0.2, 0.9).tolist() == [1.0, -1.0]
    assert history.mean_over(1.0, 1.0).tolist() == [3.0, 1.0]
    assert history.mean_over(0.999, 0.999).tolist() == [1.0, -1.0]


def test_the_history_is_newest_first():
    history = CommandHistory()
    for step in range(6):
        history.record(0.05 * step, (float(step), -float(step)))
    rows = history.history(0.3, 4, 0.05)
    np.testing.assert_allclose(rows, [[5, -5], [4, -4], [3, -3], [2, -2]], atol=1e-9)
    np.testing.assert_allclose(history.history(0.325, 2, 0.05), [[5, -5], [4.5, -4.5]], atol=1e-9)
    assert history.history(0.3, 0, 0.05).shape == (0, 2)


def test_commands_after_the_asked_time_do_not_count():
    history = CommandHistory()
    history.record(0.0, (1.0, 0.0))
    history.record(1.0, (9.0, 0.0))
    assert history.mean_over(0.5, 1.0).tolist() == [1.0, 0.0]


def test_overwritten_commands_count_as_held_since_ever():
    history = CommandHistory(capacity=2)
    for step in range(5):
        history.record(float(step), (float(step), 0.0))
    assert len(history) == 2
    assert history.mean_over(2.5, 3.0).tolist() == [2.0, 0.0]
    assert history.mean_over(-9.0, -8.0).tolist() == [2.0, 0.0]


@pytest.mark.fault(13)
def test_a_jump_back_of_the_clock_empties_it():
    history = CommandHistory()
    history.record(100.0, (1.0, 1.0))
    history.record(50.0, (2.0, 2.0))
    assert len(history) == 1
    assert history.mean_over(49.0, 50.0).tolist() == [0.0, 0.0]


def test_a_command_slightly_out_of_order_counts_as_simultaneous():
    history = CommandHistory()
    history.record(100.0, (1.0, 1.0))
    history.record(99.96, (2.0, 2.0))
    assert len(history) == 2
    assert history.mean_over(100.0, 101.0).tolist() == [2.0, 2.0]
    assert history.mean_over(99.9, 100.0).tolist() == [0.0, 0.0]


@pytest.mark.fault(4)
@pytest.mark.parametrize("t, command", [(math.nan, (0, 0)), (0.0, (math.nan, 0)), (0.0, (0, math.inf))])
def test_only_finite_commands_get_in(t, command):
    history = CommandHistory()
    with pytest.raises(InvalidValueError, match="finite"):
        history.record(t, command)
    assert len(history) == 0


@pytest.mark.parametrize("t0, t1", [(1.0, 0.0), (math.nan, 1.0), (0.0, math.inf)])
def test_times_must_be_finite_and_in_order(t0, t1):
    with pytest.raises(InvalidValueError, match="order"):
        CommandHistory().mean_over(t0, t1)


@pytest.mark.parametrize(
    "t, taps, dt", [(math.nan, 1, 0.05), (0.0, -1, 0.05), (0.0, 1, 0.0), (0.0, 1, math.inf)]
)
def test_a_history_of_nothing_is_refused(t, taps, dt):
    with pytest.raises(InvalidValueError):
        CommandHistory().history(t, taps, dt)


@pytest.mark.parametrize("arguments", [{"capacity": 1}, {"jump_back": 0.0}, {"jump_back": math.nan}])
def test_thresholds_out_of_range_are_refused_by_name(arguments):
    with pytest.raises(InvalidValueError, match=next(iter(arguments))):
        CommandHistory(**arguments)


@pytest.mark.fault(51)
def test_memory_does_not_grow():
    history = CommandHistory(capacity=64)
    for step in range(200):
        history.record(0.05 * step, (0.1, 0.1))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for step in range(200, 5000):
        history.record(0.05 * step, (0.001 * step, 0.1))
        history.history(0.05 * step, 8, 0.05)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(history) == 64 and grown < 10_000


@hypothesis.settings(deadline=None, max_examples=100)
@hypothesis.given(
    commands=st.lists(st.tuples(st.integers(0, 40), st.floats(-2, 2), st.floats(-2, 2)), max_size=12),
    start=st.integers(-10, 50),
    length=st.integers(1, 30),
)
def test_the_mean_is_that_of_a_fine_sampling(commands, start, length):
    commands = sorted(commands, key=lambda item: item[0])
    history = CommandHistory()
    for t, v, omega in commands:
        history.record(float(t), (v, omega))
    samples = np.zeros((length, 2))
    for row, t in enumerate(range(start, start + length)):
        held = [command for command in commands if command[0] <= t]
        samples[row] = held[-1][1:] if held else 0.0
    np.testing.assert_allclose(
        history.mean_over(float(start), float(start + length)), samples.mean(axis=0), atol=1e-9
    )
    rows = history.history(float(start + length), length, 1.0)
    np.testing.assert_allclose(rows, samples[::-1], atol=1e-9)
