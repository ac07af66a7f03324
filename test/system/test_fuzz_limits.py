"""What the fuzzer holds commands to while it changes the limits itself."""

import pytest

from mppi_maml_ros.system.fuzz_limits import BRAKED_WITHIN, LimitsInForce

START = {"vx_max": 1.0, "vx_min": -0.5, "wz_max": 2.0, "ax_max": 2.0, "ax_min": -3.0, "az_max": 4.0}
START["az_min"] = 0.0  # as az_max


@pytest.mark.parametrize(
    ("command", "last", "word"),
    [
        ((1.0, 2.0), None, None),
        ((-0.5, -2.0), (-0.4, -1.8), None),
        ((1.01, 0.0), None, "limits"),
        ((-0.51, 0.0), None, "limits"),
        ((0.0, 2.01), None, "limits"),
        ((0.0, -2.01), None, "limits"),
        ((0.3, 0.0), (0.0, 0.0), None),
        ((0.31, 0.0), (0.0, 0.0), "acceleration"),
        ((0.3, 0.4), (0.3, 0.0), None),
        ((0.3, 0.41), (0.3, 0.0), "acceleration"),
        ((0.0, 0.0), (1.0, 2.0), None),  # a stop
    ],
)
def test_commands_are_held_to_velocity_and_acceleration(command, last, word):
    complaint = LimitsInForce(START).complaint(command, last, 0.0)
    assert complaint is None if word is None else word in complaint


def test_a_tighter_limit_is_asked_for_once_there_was_time_to_slow_down():
    limits = LimitsInForce(START)
    limits.change("vx_max", 0.4, now=10.0)
    assert limits.complaint((0.9, 0.0), (0.9, 0.0), 10.0 + 0.9 * BRAKED_WITHIN) is None
    assert "limits" in limits.complaint((0.9, 0.0), (0.9, 0.0), 10.0 + 1.1 * BRAKED_WITHIN)
    assert limits.complaint((0.4, 0.0), (0.4, 0.0), 20.0) is None


def test_a_wider_limit_holds_at_once():
    limits = LimitsInForce(START)
    limits.change("wz_max", 3.0, now=10.0)
    limits.change("az_max", 8.0, now=10.0)
    assert limits.complaint((0.0, 3.0), (0.0, 2.3), 10.0) is None
    assert limits.complaint((0.0, 3.0), (0.0, 2.3), 20.0) is None
    assert "limits" in limits.complaint((0.0, 3.1), (0.0, 3.0), 20.0)


def test_a_turn_that_is_braked_at_its_own_limit_is_no_complaint():
    limits = LimitsInForce(START | {"az_min": -8.0})
    assert limits.complaint((0.3, 0.8), (0.3, 1.6), 0.0) is None
    assert "acceleration" in limits.complaint((0.3, 0.7), (0.3, 1.6), 0.0)
