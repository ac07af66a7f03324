import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.references.figures import FIGURES, circle, figure8, sine, straight

TIMES = np.arange(0.0, 40.0, 0.05)
ALL = [circle(), figure8(), sine(), straight(), circle(1.0, 0.8), figure8(2.0, 12.0), sine(0.5, 1.0, 8.0)]
ORIGINS = [(0.0, 0.0, 0.0), (3.0, -2.0, 1.2), (-1.0, 5.0, -3.0), (10.0, 10.0, math.pi)]


def turn(angle):
    return (angle + np.pi) % (2.0 * np.pi) - np.pi


def test_circle_is_the_benchmarks():
    poses = circle().pose_at(TIMES)
    angle = 0.1 * TIMES
    np.testing.assert_allclose(poses[:, 0], 5.0 * np.cos(angle), atol=1e-12)
    np.testing.assert_allclose(poses[:, 1], 5.0 * np.sin(angle), atol=1e-12)
    np.testing.assert_allclose(turn(poses[:, 2] - angle - np.pi / 2), 0.0, atol=1e-12)
    np.testing.assert_allclose(circle().twist_at(TIMES), [[0.5, 0.1]] * len(TIMES))


def test_figure8_is_the_benchmarks():
    poses = figure8().pose_at(TIMES)
    phase = 2.0 * np.pi * TIMES / 20.0
    x = 5.0 * np.cos(phase) / (1.0 + np.sin(phase) ** 2)
    np.testing.assert_allclose(poses[:, 0], x, atol=1e-12)
    np.testing.assert_allclose(poses[:, 1], x * np.sin(phase), atol=1e-12)
    speed = figure8().twist_at(TIMES)[:, 0]
    assert speed.min() == pytest.approx(1.11, abs=0.01) and speed.max() == pytest.approx(1.57, abs=0.01)


def test_sine_and_straight_are_the_benchmarks():
    poses = sine().pose_at(TIMES)
    np.testing.assert_allclose(poses[:, 0], TIMES)
    np.testing.assert_allclose(poses[:, 1], 2.0 * np.sin(2.0 * np.pi * TIMES / 10.0), atol=1e-12)
    np.testing.assert_array_equal(straight().pose_at(TIMES), np.column_stack([TIMES, 0 * TIMES, 0 * TIMES]))


@pytest.mark.parametrize("figure", [f for g in ALL for f in (g, g.anchored((1.0, -2.0, 2.5)))])
def test_heading_is_tangent_and_twist_is_the_derivative(figure):
    h = 1e-5
    before, after = figure.pose_at(TIMES - h), figure.pose_at(TIMES + h)
    dx, dy = (after - before)[:, 0] / (2 * h), (after - before)[:, 1] / (2 * h)
    pose, twist = figure.pose_at(TIMES), figure.twist_at(TIMES)
    np.testing.assert_allclose(turn(np.arctan2(dy, dx) - pose[:, 2]), 0.0, atol=1e-6)
    np.testing.assert_allclose(np.hypot(dx, dy), twist[:, 0], atol=1e-6)
    np.testing.assert_allclose(turn(after[:, 2] - before[:, 2]) / (2 * h), twist[:, 1], atol=1e-6)


@pytest.mark.parametrize("figure", ALL)
@pytest.mark.parametrize("origin", ORIGINS)
def test_anchored_figure_starts_at_the_origin_along_its_heading_and_turns_left_first(figure, origin):
    anchored = figure.anchored(origin)
    start = anchored.pose_at(0.0)
    np.testing.assert_allclose(start[:2], origin[:2], atol=1e-12)
    assert turn(start[2] - origin[2]) == pytest.approx(0.0, abs=1e-12)
    if not isinstance(figure, straight):
        assert anchored.twist_at(0.3)[1] > 0.0
        early = anchored.pose_at(0.5)[:2] - np.array(origin[:2])
        assert -np.sin(origin[2]) * early[0] + np.cos(origin[2]) * early[1] > 0.0


@pytest.mark.parametrize("figure", ALL)
def test_anchoring_moves_the_figure_rigidly(figure):
    anchored = figure.anchored((3.0, -2.0, 1.2)).pose_at(TIMES)
    plain = figure.pose_at(TIMES)

    def distances(poses):
        return np.hypot(*(poses[:, None, :2] - poses[None, ::40, :2]).transpose(2, 0, 1))

    np.testing.assert_allclose(distances(anchored), distances(plain), atol=1e-9)
    np.testing.assert_allclose(
        figure.anchored((3.0, -2.0, 1.2)).twist_at(TIMES)[:, 0], figure.twist_at(TIMES)[:, 0]
    )


@pytest.mark.parametrize("figure", [f for g in ALL for f in (g, g.anchored((1.0, -2.0, 2.5)))])
def test_window_reads_the_poses_ahead_with_a_continuous_heading(figure):
    for t in (0.0, 7.3, 31.0):
        window = figure.window(t, 56, 0.05)
        assert window.shape == (57, 3)
        poses = figure.pose_at(t + 0.05 * np.arange(57))
        np.testing.assert_allclose(window[:, :2], poses[:, :2], atol=1e-12)
        np.testing.assert_allclose(turn(window[:, 2] - poses[:, 2]), 0.0, atol=1e-9)
        assert -np.pi <= window[0, 2] < np.pi
        assert np.abs(np.diff(window[:, 2])).max(initial=0.0) < 0.3


def test_window_over_the_wrap_does_not_jump():
    window = circle(1.0, 1.0).window(1.0, 60, 0.05)
    np.testing.assert_allclose(np.diff(window[:, 2]), 0.05, atol=1e-12)
    assert window[-1, 2] > np.pi


@pytest.mark.parametrize("figure", ALL)
def test_shapes_follow_the_times_and_yaw_is_wrapped(figure):
    assert figure.pose_at(1.0).shape == (3,)
    assert figure.pose_at(np.zeros((4, 2))).shape == (4, 2, 3)
    assert figure.twist_at(np.zeros((4, 2))).shape == (4, 2, 2)
    assert figure.anchored((0, 0, 0)).pose_at(1.0).shape == (3,)
    yaw = figure.pose_at(TIMES)[:, 2]
    assert (yaw >= -np.pi).all() and (yaw < np.pi).all()
    assert math.isinf(figure.duration)


@settings(deadline=None)
@given(radius=st.floats(0.05, 100.0), speed=st.floats(0.01, 5.0), t=st.floats(0.0, 1e4))
def test_any_circle_keeps_its_radius(radius, speed, t):
    x, y, _ = circle(radius, speed).pose_at(t)
    assert math.hypot(x, y) == pytest.approx(radius, rel=1e-9)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (circle, "radius"),
        (circle, "speed"),
        (figure8, "size"),
        (figure8, "period"),
        (sine, "speed"),
        (sine, "amplitude"),
        (sine, "period"),
        (straight, "speed"),
    ],
)
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_bad_sizes_are_refused_by_name(make, field, value):
    with pytest.raises(InvalidValueError, match=field):
        make(**{field: value})


def test_bad_times_and_origins_are_refused():
    with pytest.raises(InvalidValueError, match="t must be finite"):
        circle().pose_at(np.nan)
    for origin in ((0.0, 0.0), (0.0, np.inf, 0.0)):
        with pytest.raises(InvalidValueError, match="origin"):
            circle().anchored(origin)


def test_figures_are_found_by_name():
    assert set(FIGURES) == {"circle", "figure8", "sine", "straight"}
    assert FIGURES["circle"]() == circle()


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_an_eased_figure_starts_at_rest_and_is_then_late_by_half_the_ramp(name):
    figure = FIGURES[name]()
    eased = figure.eased(2.0)
    assert eased.pose_at(0.0) == pytest.approx(figure.pose_at(0.0))
    assert eased.twist_at(0.0) == pytest.approx([0.0, 0.0])
    later = np.array([2.0, 3.0, 7.5])
    assert eased.pose_at(later) == pytest.approx(figure.pose_at(later - 1.0))
    assert eased.twist_at(later) == pytest.approx(figure.twist_at(later - 1.0))


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_an_eased_figures_twist_is_the_derivative_of_its_pose(name):
    eased = FIGURES[name]().eased(3.0)
    t, h = np.linspace(0.1, 5.0, 40), 1e-5
    before, after = eased.pose_at(t - h), eased.pose_at(t + h)
    speed = np.hypot(*(after - before)[:, :2].T) / (2 * h)
    assert speed == pytest.approx(eased.twist_at(t)[:, 0], abs=1e-4)


def test_an_eased_figure_can_be_anchored_and_a_ramp_of_zero_changes_nothing():
    figure = FIGURES["sine"]()
    assert figure.eased(0.0) is figure
    origin = np.array([1.0, 2.0, 0.5])
    anchored = figure.eased(2.0).anchored(origin)
    assert anchored.pose_at(0.0) == pytest.approx(origin)
    assert anchored.pose_at(4.0) == pytest.approx(figure.anchored(origin).pose_at(3.0))


@pytest.mark.parametrize("ramp_time", [-1.0, np.nan, np.inf])
def test_a_ramp_time_out_of_range_is_refused(ramp_time):
    with pytest.raises(InvalidValueError, match="ramp_time"):
        FIGURES["circle"]().eased(ramp_time)
