import math
import time

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from mppi_maml_ros.core.angles import wrap
from mppi_maml_ros.core.errors import InvalidPathError, InvalidValueError
from mppi_maml_ros.references.path import PathProfile, PathReference
from mppi_maml_ros.references.smoothing import smoothed

PROFILE = PathProfile(desired_speed=0.5, reverse_speed=0.3, wz_max=1.5, deceleration=1.0)
DT = 0.05


def poses(x, y=0.0, yaw=0.0):
    x = np.asarray(x, dtype=float)
    return np.column_stack([x, np.broadcast_to(y, x.shape), np.broadcast_to(yaw, x.shape)])


def arc(radius, angle, spacing=0.05, start=0.0):
    """A left turn from the origin."""
    a = np.linspace(0.0, angle, max(2, round(radius * angle / spacing)))
    return np.column_stack([radius * np.sin(a), radius * (1.0 - np.cos(a)), a])


def drive_along(path, start=(0.0, 0.0), step=0.02, steps=20, remaining=0.3):
    """Windows seen by a robot that moves along the reference itself until little remains."""
    state = np.array([*start, 0.0])
    windows = []
    for _ in range(3000):
        window = path.window(state, steps, DT)
        windows.append(window)
        if path.remaining < remaining:
            return windows
        ahead = window[1] - window[0]
        state = window[0] + ahead * min(1.0, step / max(1e-9, np.hypot(*ahead[:2])))
    raise AssertionError(f"stuck {path.remaining} m before the end")


def acceleration(window):
    """Of the reference, averaged over a quarter of a second."""
    speed = spacings(window) / DT
    return (speed[5:] - speed[:-5]) / (5 * DT)


def spacings(window):
    return np.hypot(*np.diff(window[:, :2], axis=0).T)


# Construction


@pytest.mark.parametrize("empty", [[], np.zeros((0, 3)), (), [[]]])
def test_an_empty_path_is_refused(empty):
    with pytest.raises(InvalidPathError, match="empty"):
        PathReference(empty)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", range(3))
@pytest.mark.parametrize("row", [0, 7, 10])
def test_a_path_with_a_value_that_is_not_finite_is_refused_as_a_whole(bad, column, row):
    path = poses(np.linspace(0, 1, 11))
    path[row, column] = bad
    with pytest.raises(InvalidPathError, match=f"pose {row} of 11"):
        PathReference(path)


@pytest.mark.parametrize(
    "bad", [None, 3.0, "path", [1.0, 2.0, 3.0], np.zeros((4, 2)), np.zeros((2, 2, 3)), [[10**400, 0, 0]]]
)
def test_what_is_no_list_of_poses_is_refused(bad):
    with pytest.raises(InvalidPathError):
        PathReference(bad)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("column", [0, 1])
def test_a_path_absurdly_far_away_is_refused(sign, column):
    path = poses(np.linspace(0, 1, 11))
    path[5, column] = sign * 1.1e7
    with pytest.raises(InvalidPathError, match="range"):
        PathReference(path)


def test_a_path_absurdly_long_is_refused():
    with pytest.raises(InvalidPathError, match="longer"):
        PathReference(poses([0.0, 9e6, 0.0, 9e6]))


def test_the_path_is_a_copy():
    given = poses(np.linspace(0, 1, 11))
    path = PathReference(given)
    given[:] = 99.0
    path.goal[:] = 99.0
    np.testing.assert_allclose(path.goal, [1.0, 0.0, 0.0])
    np.testing.assert_allclose(path.window((0, 0), 100, DT)[-1], [1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    "field", ["desired_speed", "wz_max", "deceleration", "resolution", "search_distance", "turn_tolerance"]
)
@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_profile_out_of_range_is_refused_by_name(field, bad):
    with pytest.raises(InvalidValueError, match=field):
        PathProfile(**{field: bad})


@pytest.mark.parametrize("bad", [-1e-9, math.nan, math.inf])
def test_the_reverse_speed_may_be_zero_but_not_less(bad):
    assert PathProfile(reverse_speed=0.0).reverse_speed == 0.0
    with pytest.raises(InvalidValueError, match="reverse_speed"):
        PathProfile(reverse_speed=bad)


def test_duplicate_points_change_nothing():
    plain = poses(np.linspace(0, 3, 31), yaw=0.0)
    a, b = PathReference(plain, PROFILE), PathReference(np.repeat(plain, 4, axis=0), PROFILE)
    assert a.length == pytest.approx(b.length) == pytest.approx(3.0)
    for x in (0.0, 0.7, 2.8):
        np.testing.assert_allclose(a.window((x, 0.1), 20, DT), b.window((x, 0.1), 20, DT), atol=1e-9)


# Goal regulation


@pytest.mark.fault(20)
@pytest.mark.parametrize("count", [1, 2, 50])
def test_one_place_is_a_goal_to_be_at(count):
    path = PathReference(np.repeat([[1.0, -2.0, 4.0]], count, axis=0), PROFILE)
    goal = [1.0, -2.0, wrap(4.0)]
    assert path.window((0.0, 0.0, 0.0), 7, DT) == pytest.approx(np.repeat([goal], 8, axis=0))
    assert path.distance((1.0, 1.0, 0.0)) == pytest.approx(3.0)
    assert path.remaining == path.length == path.progress == 0.0
    np.testing.assert_allclose(path.goal, goal)


@pytest.mark.fault(20)
def test_places_that_differ_by_rounding_are_one_place():
    path = PathReference(poses(1.0 + 1e-10 * np.arange(50), yaw=0.5), PROFILE)
    assert path.length == 0.0
    assert (path.window((0, 0), 3, DT)[:, 2] == 0.5).all()


# Where the window starts


@pytest.mark.parametrize("x, y", [(0.0, 0.0), (1.23, 0.3), (1.23, -0.3), (-0.5, 0.2), (0.31, 0.0)])
def test_the_window_starts_at_the_projection_of_the_robot(x, y):
    path = PathReference(poses(np.linspace(0, 5, 11)), PROFILE)
    window = path.window((x, y, 0.7, 0.0, 0.0), 10, DT)
    assert window.shape == (11, 3)
    np.testing.assert_allclose(window[0], [max(x, 0.0), 0.0, 0.0], atol=1e-9)
    assert path.progress == pytest.approx(max(x, 0.0))
    assert path.remaining == pytest.approx(5.0 - max(x, 0.0))
    assert path.distance((x, y)) == pytest.approx(math.hypot(min(x, 0.0), y))


def test_it_advances_by_the_desired_speed():
    window = PathReference(poses([0.0, 5.0]), PROFILE).window((1.0, 0.0), 20, DT)
    np.testing.assert_allclose(window[:, 0], 1.0 + 0.5 * DT * np.arange(21), atol=1e-9)


def test_with_a_lead_it_starts_farther_along_but_the_robot_is_where_it_is():
    path = PathReference(poses(np.linspace(0.0, 3.0, 61)), PathProfile(desired_speed=0.5))
    state = np.array([1.0, 0.1, 0.0])
    led = path.window(state, 20, 0.05, lead=0.3)
    np.testing.assert_allclose(
        led - path.window(state, 20, 0.05), np.tile([0.3, 0.0, 0.0], (21, 1)), atol=1e-6
    )
    assert path.progress == pytest.approx(1.0)
    assert path.window(np.array([1.9, 0.0, 0.0]), 20, 0.05, lead=2.0)[:, 0] == pytest.approx(3.0)


def test_no_lead_goes_beyond_a_cusp():
    there = np.linspace(0.0, 1.0, 21)
    path = PathReference(np.concatenate([poses(there), poses(there[-2::-1])]), PathProfile(desired_speed=0.3))
    led = path.window(np.array([0.8, 0.0, 0.0]), 20, 0.05, lead=0.3)
    np.testing.assert_allclose(led[:, 0], 1.0, atol=1e-6)


def test_progress_never_goes_back():
    path = PathReference(poses(np.linspace(0, 5, 101)), PROFILE)
    path.window((2.0, 0.0), 5, DT)
    path.window((1.0, 0.0), 5, DT)
    assert path.progress == pytest.approx(2.0)
    assert path.distance((1.0, 0.0)) == pytest.approx(1.0, abs=0.05)


def test_asking_for_the_distance_moves_nothing():
    path = PathReference(poses(np.linspace(0, 5, 101)), PROFILE)
    path.window((1.0, 0.0), 5, DT)
    assert path.distance((1.5, 0.25)) == pytest.approx(0.25)
    assert path.progress == pytest.approx(1.0)


def test_the_robot_is_looked_for_only_so_far_ahead():
    path = PathReference(poses(np.linspace(0, 5, 101)), PathProfile(search_distance=1.0))
    path.window((0.0, 0.0), 5, DT)
    assert path.distance((3.0, 0.0)) == pytest.approx(2.0)
    path.window((3.0, 0.0), 5, DT)
    assert path.progress == pytest.approx(1.0)


def test_a_restart_looks_for_the_robot_anew():
    path = PathReference(poses(np.linspace(0, 5, 101)), PROFILE)
    path.window((4.0, 0.0), 5, DT)
    path.restart()
    assert path.progress == 0.0
    path.window((1.0, 0.0), 5, DT)
    assert path.progress == pytest.approx(1.0)


def test_a_path_that_begins_far_behind_the_robot_is_joined_where_the_robot_is():
    path = PathReference(poses(np.linspace(0, 50, 1001)), PROFILE)
    np.testing.assert_allclose(path.window((42.0, 0.1), 5, DT)[0], [42.0, 0.0, 0.0], atol=1e-9)


def test_a_loop_begins_at_its_beginning_and_a_crossing_does_not_lead_astray():
    angle = np.linspace(0, 2 * np.pi, 400)
    eight = np.column_stack([2 * np.sin(angle), np.sin(2 * angle), np.zeros(400)])
    path = PathReference(eight, PROFILE)
    windows = drive_along(path, remaining=0.1)
    starts = np.array([window[0] for window in windows])
    assert np.ptp(starts[: len(starts) // 2 - 5, 0]) < 2.1, "the right half first"
    assert spacings(starts[:, :3]).max() < 0.05


# Speed


def test_it_slows_down_towards_the_goal_and_waits_there():
    path = PathReference(poses(np.linspace(0, 2, 41), yaw=0.0), PROFILE)
    window = path.window((1.0, 0.0), 200, DT)
    speed = spacings(window) / DT
    assert window[-1].tolist() == [2.0, 0.0, 0.0] and speed[-1] == 0.0
    assert (np.diff(speed) <= 1e-6).all()
    assert -1.3 < acceleration(window).min() < -0.8
    braking = 0.5**2 / 2.0
    np.testing.assert_allclose(speed[window[:-1, 0] < 2.0 - braking - 0.06], 0.5, atol=1e-6)


@pytest.mark.parametrize("radius", [0.3, 0.6, 1.0, 5.0])
def test_in_curves_the_yaw_rate_stays_below_four_fifths_of_the_limit(radius):
    path = PathReference(arc(radius, 3.0, spacing=0.02), PROFILE)
    windows = drive_along(path)
    turning = max(abs(np.diff(np.unwrap(window[:, 2]))).max() for window in windows) / DT
    assert turning <= 0.8 * 1.5 * 1.1
    fastest = max(spacings(window).max() for window in windows) / DT
    assert fastest == pytest.approx(min(0.5, 0.8 * 1.5 * radius), rel=0.1)


def test_it_slows_down_before_a_curve_and_not_in_it():
    straight = poses(np.linspace(-2, 0, 41))
    path = PathReference(np.concatenate([straight, arc(0.2, 3.0, 0.02)[1:]]), PROFILE)
    window = path.window((-1.0, 0.0), 60, DT)
    speed = spacings(window) / DT
    at_curve = np.argmax(window[:, 0] > -0.02)
    assert speed[0] == pytest.approx(0.5, abs=1e-6) and speed[at_curve] < 0.3
    assert acceleration(window).min() > -1.3


def test_a_right_angle_is_taken_slowly():
    corner = np.concatenate(
        [poses(np.linspace(0, 1, 21)), [[1.0, y, np.pi / 2] for y in np.linspace(0.05, 1, 20)]]
    )
    path = PathReference(corner, PROFILE)
    windows = drive_along(path)
    turning = max(abs(np.diff(np.unwrap(window[:, 2]))).max() for window in windows) / DT
    assert turning < 1.5


# Headings


def test_headings_of_the_poses_are_used_where_they_follow_the_path():
    path = PathReference(poses(np.linspace(0, 3, 61), yaw=0.2), PROFILE)
    assert path.window((1.0, 0.0), 5, DT)[:, 2] == pytest.approx(np.full(6, 0.2))


def test_poses_without_headings_get_those_of_the_path():
    path = arc(2.0, 3.0)
    path[:-1, 2] = 0.0
    for window in drive_along(PathReference(path, PROFILE)):
        expected = np.arctan2(window[:, 0] / 2.0, 1.0 - window[:, 1] / 2.0)
        assert abs(wrap(window[:, 2] - expected)).max() < 0.06


def test_a_path_back_without_headings_is_not_driven_in_reverse():
    path = PathReference(poses(np.linspace(5, 0, 101), yaw=0.0), PROFILE)
    assert abs(path.window((5.0, 0.0), 5, DT)[0, 2]) == pytest.approx(np.pi)


def test_a_turn_back_without_headings_is_not_driven_in_reverse():
    turn = arc(0.5, np.pi, spacing=0.05)
    there = poses(np.linspace(-10, 0, 201))
    back = poses(np.linspace(-0.05, -10, 200), y=1.0)
    path = np.concatenate([there, turn[1:], back])
    path[:, 2] = 0.0
    reference = PathReference(path, PROFILE)
    windows = drive_along(reference, start=(-10.0, 0.0), steps=2, remaining=0.5)
    final = windows[-1][0]
    assert final[1] == pytest.approx(1.0, abs=0.01) and abs(wrap(final[2] - np.pi)) < 0.05


def test_the_last_pose_gives_the_heading_of_the_goal_only():
    path = poses(np.linspace(0, 2, 41))
    path[-1, 2] = 2.5
    window = PathReference(path, PROFILE).window((1.5, 0.0), 100, DT)
    assert window[-1].tolist() == [2.0, 0.0, 2.5]
    assert abs(window[window[:, 0] < 1.99, 2]).max() < 1e-6


def test_headings_across_pi_do_not_spin():
    path = PathReference(arc(2.0, 2 * np.pi), PROFILE)
    for window in drive_along(path):
        assert abs(wrap(np.diff(window[:, 2]))).max() < 0.05
        assert (abs(window[:, 2]) <= np.pi).all()


# Cusps and corners


def there_and_back(yaw_back=0.0):
    """Forwards from 0 to 2, then back to 1: in reverse with yaw 0."""
    return np.concatenate([poses(np.linspace(0, 2, 41)), poses(np.linspace(1.95, 1, 20), yaw=yaw_back)])


@pytest.mark.parametrize("spacing", [1, 2, 40])
def test_the_window_does_not_look_past_a_cusp_before_it_is_reached(spacing):
    forwards, back = np.linspace(0, 2, 41)[::spacing], np.linspace(2, 1, 21)[::spacing][1:]
    if spacing == 40:
        forwards, back = np.array([0.0, 2.0]), np.array([1.0])
    path = PathReference(np.concatenate([poses(forwards), poses(back)]), PROFILE)
    for x in (0.0, 0.5, 1.0, 1.5, 1.88):
        window = path.window((x, 0.02), 100, DT)
        assert (np.diff(window[:, 0]) >= 0.0).all() and window[-1].tolist() == [2.0, 0.0, 0.0]
    window = path.window((1.95, 0.02), 100, DT)
    assert (np.diff(window[:, 0]) <= 0.0).all() and window[-1].tolist() == [1.0, 0.0, 0.0]
    assert window[:, 2] == pytest.approx(np.zeros(101)), "backwards, facing forwards"
    assert spacings(window).max() <= 0.3 * DT + 1e-9, "at the speed for reverse"
    for x in (1.9, 1.6, 1.3):
        np.testing.assert_allclose(path.window((x, 0.0), 5, DT)[0], [x, 0.0, 0.0], atol=1e-9)


def test_a_cusp_is_approached_slowly():
    path = PathReference(there_and_back(), PROFILE)
    speed = spacings(path.window((1.0, 0.0), 80, DT)) / DT
    assert speed[0] == pytest.approx(0.5, abs=1e-6) and (np.diff(speed) <= 1e-6).all() and speed[-1] == 0.0


def test_a_cusp_passed_at_the_side_is_not_reached():
    path = PathReference(there_and_back(), PROFILE)
    path.window((1.5, 0.0), 5, DT)
    window = path.window((2.0, 0.5), 100, DT)
    assert window[-1].tolist() == [2.0, 0.0, 0.0]


def test_an_overshot_cusp_is_waited_at_until_the_robot_is_near():
    path = PathReference(there_and_back(), PROFILE)
    path.window((1.5, 0.0), 5, DT)
    assert path.window((2.3, 0.0), 20, DT)[-1].tolist() == [2.0, 0.0, 0.0]
    assert path.window((2.08, 0.0), 20, DT)[-1, 0] < 1.9


def test_without_reverse_a_cusp_is_a_place_to_turn():
    path = PathReference(there_and_back(), PathProfile(reverse_speed=0.0, desired_speed=0.5))
    assert path.window((1.0, 0.0), 100, DT)[-1].tolist() == [2.0, 0.0, 0.0]
    window = path.window((2.0, 0.0), 20, DT)
    assert abs(wrap(window[:, 2] - np.pi)).max() < 1e-6, "turned around"
    assert window[-1, 0] < 1.9


def test_poses_that_turn_with_the_path_make_a_corner():
    path = PathReference(there_and_back(yaw_back=np.pi), PROFILE)
    assert path.window((1.0, 0.0), 100, DT)[-1].tolist() == [2.0, 0.0, 0.0]
    window = path.window((2.0, 0.0), 20, DT)
    assert abs(wrap(window[:, 2] - np.pi)).max() < 1e-6
    assert spacings(window).max() > 0.3 * DT, "forwards"


def test_a_whole_path_in_reverse_keeps_its_headings():
    path = arc(2.0, 1.5)[::-1]
    windows = drive_along(PathReference(path, PROFILE), start=path[0, :2])
    moving = [window for window in windows if spacings(window)[:5].min() > 1e-3]
    assert len(moving) > 100
    for window in moving:
        direction = np.arctan2(*np.diff(window[:6, :2], axis=0).sum(axis=0)[::-1])
        assert abs(wrap(direction - window[2, 2] - np.pi)) < 0.2


def test_two_cusps_are_taken_one_after_the_other():
    legs = [np.linspace(0, 2, 41), np.linspace(1.95, 1, 20), np.linspace(1.05, 3, 40)]
    path = PathReference(poses(np.concatenate(legs)), PROFILE)
    ends = []
    for x in (1.0, 1.95, 1.5, 1.05, 1.5, 2.5):
        ends.append(path.window((x, 0.0), 200, DT)[-1, 0])
    assert ends == pytest.approx([2.0, 1.0, 1.0, 3.0, 3.0, 3.0])
    assert path.remaining == pytest.approx(0.5)


# Size


def rough(count, length):
    x = np.linspace(0.0, length, count)
    return np.column_stack([x, np.sin(0.3 * x), np.arctan(0.3 * np.cos(0.3 * x))])


@pytest.mark.fault(21)
@pytest.mark.parametrize("length", [50e3, 100.0, 1.0])
def test_a_million_poses_cost_no_more_per_call_than_a_few(length):
    started = time.process_time()
    path = PathReference(rough(10**6, length), PROFILE)
    assert time.process_time() - started < 1.0, "0.03 s on an idle machine"
    state = path.window((0.0, 0.0), 56, DT)[0]
    costs = []
    for _ in range(100):
        started = time.process_time()
        state = path.window(state, 56, DT)[1]
        costs.append(time.process_time() - started)
    assert np.median(costs) < 1e-3, "0.04 ms on an idle machine"


@pytest.mark.fault(21)
def test_a_path_of_kilometres_is_followed_across_its_sections():
    path = PathReference(rough(20001, 1000.0), PROFILE)
    fine = PathReference(rough(20001, 1000.0)[:4001], PROFILE)
    assert path.length > 1000.0
    for x in np.arange(0.0, 999.5, 0.5):
        state = (x, math.sin(0.3 * x))
        window = path.window(state, 20, DT)
        assert np.hypot(window[0, 0] - x, window[0, 1] - math.sin(0.3 * x)) < 0.02
        assert spacings(window).max() <= 0.5 * DT + 1e-9
        if x < 190.0:
            np.testing.assert_allclose(window, fine.window(state, 20, DT), atol=2e-3)
    assert path.remaining < 1.1
    assert path.window((1000.0, math.sin(300.0)), 100, DT)[-1] == pytest.approx(path.goal)


@pytest.mark.fault(21)
def test_two_poses_a_thousand_kilometres_apart_are_a_path():
    path = PathReference(poses([0.0, 1e6]), PROFILE)
    for x in np.arange(0.0, 500.0, 0.9):
        np.testing.assert_allclose(path.window((x, 0.3), 10, DT)[0], [x, 0.0, 0.0], atol=1e-6)
    assert path.remaining == pytest.approx(1e6 - x)


def test_a_path_that_trembles_is_thinned_out():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 5, 5001)
    noisy = poses(x + rng.normal(0, 1e-3, x.shape), rng.normal(0, 1e-3, x.shape))
    path = PathReference(noisy, PROFILE)
    assert path.length == pytest.approx(5.0, rel=0.1)
    window = path.window((1.0, 0.0), 20, DT)
    assert abs(window[:, 2]).max() < 0.1
    assert spacings(window).sum() == pytest.approx(0.5, rel=0.3), "not slowed down by the noise"


# Noise


def slalom(spacing):
    x = np.arange(0.0, 4.0 + 1e-9, spacing)
    return poses(x, 0.3 * np.sin(1.5 * x), np.arctan(0.45 * np.cos(1.5 * x)))


def taught(path, noise, seed=0):
    """As recorded while a robot was led along a path."""
    rng = np.random.default_rng(seed)
    return path + rng.normal(size=path.shape) * [noise, noise, noise]


def duration(path):
    """Time to the goal by the speed profile [s]."""
    reference = PathReference(path, PROFILE)
    return drive_time(reference, path[0])


def drive_time(reference, start):
    state, time_ = np.array(start), 0.0
    while reference.remaining > 0.1:
        state = reference.window(state, 1, DT)[1]
        time_ += DT
        assert time_ < 120.0
    return time_


@pytest.mark.fault(74)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise", [0.005, 0.01, 0.02, 0.03])
@pytest.mark.parametrize("spacing", [0.02, 0.03, 0.05])
def test_noise_of_centimetres_does_not_slow_a_path_down(spacing, noise, seed):
    clean = slalom(spacing)
    assert duration(taught(clean, noise, seed)) <= 1.1 * duration(clean)


def paused():
    path = slalom(0.03)
    return np.vstack([path[:60], np.repeat(path[60:61], 100, axis=0), path[60:]])


def on_a_grid():
    along = np.arange(0.0, 4.0, 0.05)
    return poses(along, np.round(along * np.tan(0.35) / 0.05) * 0.05)


@pytest.mark.fault(74)
@pytest.mark.parametrize(
    "rough, clean",
    [
        (taught(slalom(0.003), 0.01), slalom(0.05)),
        (taught(paused(), 0.01), slalom(0.05)),
        (on_a_grid(), poses(on_a_grid()[:, 0], on_a_grid()[:, 0] * np.tan(0.35))),
    ],
    ids=["dense", "with a pause", "of a planner on a grid"],
)
def test_other_rough_paths_are_driven_about_as_fast_as_clean_ones(rough, clean):
    assert duration(rough) <= 1.15 * duration(clean)


@pytest.mark.fault(74)
@pytest.mark.parametrize("noise", [0.01, 0.03])
@pytest.mark.parametrize("spacing", [0.02, 0.05])
def test_corners_are_kept_within_the_tolerance(spacing, noise):
    along = np.arange(0.0, 2.0 + 1e-9, spacing)
    corner = np.vstack([poses(along), poses(2.0 + 0 * along[1:], along[1:], np.pi / 2)])
    kept = smoothed(taught(corner, noise), PROFILE.tolerance)
    true = corner[:, :2]
    off = np.hypot(*(kept[:, None, :2] - true).transpose(2, 0, 1)).min(axis=1)
    assert off.max() <= PROFILE.tolerance
    assert np.hypot(*(kept[:, None, :2] - true).transpose(2, 0, 1)).min(axis=0).max() <= PROFILE.tolerance
    assert off[10:-10].mean() < 0.6 * noise + 0.1 * spacing, "and the noise is gone"


@pytest.mark.fault(74)
def test_no_pose_is_moved_by_more_than_the_tolerance_nor_an_end_at_all():
    rough = taught(slalom(0.02), 0.03)
    for tolerance, most in ((0.04, 0.04), (0.05, 0.05), (1.0, 0.13)):
        moved = np.hypot(*(smoothed(rough, tolerance) - rough)[:, :2].T)
        assert 0.7 * most < moved.max() <= most + 1e-12
        assert moved[[0, -1]] == pytest.approx(0.0, abs=1e-12)
    assert smoothed(rough, 0.0) is rough


@pytest.mark.fault(74)
@pytest.mark.parametrize(
    "clean",
    [slalom(0.02), slalom(0.1), arc(0.3, 6.0), poses([0.0, 1.0, 5.0]), poses(np.linspace(0, 3, 40)),
     np.vstack([poses(np.linspace(0, 2, 81)), poses(np.full(80, 2.0), np.linspace(0.025, 2, 80), 1.57)]),
     np.cumsum(np.random.default_rng(1).uniform(-1, 1, size=(60, 3)), axis=0)],
    ids=["fine", "coarse", "circle", "sparse", "straight", "corner", "shape"],
)  # fmt: skip
def test_a_path_without_noise_is_left_alone(clean):
    assert smoothed(clean, PROFILE.tolerance) is clean


@pytest.mark.fault(74)
def test_a_noisy_cusp_is_still_one():
    forth, back = np.linspace(0.0, 2.0, 81), np.linspace(2.0, 0.5, 61)[1:]
    curve = 0.3 * (2.0 - back) ** 2
    path = np.vstack([poses(forth), poses(back, curve, np.arctan(-0.6 * (2.0 - back)))])
    noisy = path + np.random.default_rng(3).normal(size=path.shape) * [0.01, 0.01, 0.02]
    reference = PathReference(noisy, PROFILE)
    windows = drive_along(reference)
    assert max(window[:, 0].max() for window in windows) == pytest.approx(2.0, abs=0.05)
    assert all(np.cos(window[:, 2]).min() > 0.5 for window in windows), "backwards, and not turned round"
    assert len(windows) < 1.5 * len(drive_along(PathReference(path, PROFILE)))


coordinates = st.one_of(st.floats(-5, 5), st.sampled_from([0.0, 1.0, 1.0 + 1e-9]), st.floats(-1e7, 1e7))
paths = st.lists(st.tuples(coordinates, coordinates, st.floats(-10, 10)), min_size=1, max_size=30)
states = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=8)


@pytest.mark.fault(57)
@hypothesis.settings(deadline=None, max_examples=200)
@hypothesis.given(path=paths, robot=states, reverse=st.sampled_from([0.0, 0.3]))
def test_whatever_the_path_windows_are_finite_slow_enough_and_progress_grows(path, robot, reverse):
    try:
        reference = PathReference(path, PathProfile(desired_speed=0.5, reverse_speed=reverse))
    except InvalidPathError:
        assert np.hypot(*np.diff(np.array(path)[:, :2], axis=0).T).sum() > 0.99e7
        return
    progress = 0.0
    for state in robot:
        distance = reference.distance(state)
        window = reference.window(state, 12, DT)
        assert window.shape == (13, 3) and np.isfinite(window).all() and math.isfinite(distance)
        assert (abs(window[:, 2]) <= np.pi).all()
        assert spacings(window).max() <= 0.5 * DT * (1.0 + 1e-6) + 1e-6
        assert reference.progress >= progress and reference.remaining >= -1e-6
        assert reference.distance(state) <= distance + 20.0 + 1e-3 * abs(distance)
        progress = reference.progress
    np.testing.assert_allclose(reference.goal[:2], path[-1][:2])
