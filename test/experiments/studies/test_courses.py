"""Paths to follow in studies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mppi_maml_ros.experiments.studies import courses


@pytest.mark.parametrize("name", courses.COURSES)
def test_a_course_has_poses_near_each_other_headed_along_it_and_room_for_the_robot(name):
    course = courses.COURSES[name]()
    step = np.diff(course.poses[:, :2], axis=0)
    assert np.isfinite(course.poses).all() and np.hypot(*step.T).max() < 0.15
    along = np.abs(np.cos(course.poses[:-1, 2] - np.arctan2(step[:, 1], step[:, 0])))
    assert np.median(along) > 0.99
    if course.walls is not None:
        assert (course.walls.distance_at(*course.poses[:, :2].T) > 0.25).all()
        assert course.walls.distance_at(*course.poses[:, :2].T).min() < 0.5


def test_no_course_serves_for_choosing_and_for_judging():
    assert not set(courses.TRAIN) & set(courses.TEST)


def test_the_corners_are_right_angles():
    turns = np.diff(np.unwrap(courses.COURSES["corners"]().poses[:, 2]))
    np.testing.assert_allclose(np.abs(turns[turns != 0.0]), 0.5 * math.pi)


def test_lanes_are_forty_centimetres_apart():
    poses = courses.COURSES["lanes"]().poses
    straight = poses[np.abs(np.sin(poses[:, 2])) < 1e-6]
    np.testing.assert_allclose(np.unique(np.round(straight[:, 1], 3)), [0.0, 0.4, 0.8, 1.2])


def test_a_replanned_path_is_what_is_left_a_little_beside():
    course = courses.COURSES["replans"]()
    rng = np.random.default_rng(0)
    left, at = course.replanned(course.poses[30, :2] + 0.02, 20, rng)
    assert 28 <= at <= 32 and len(left) == len(course.poses) - at
    moved = left[:, :2] - course.poses[at:, :2]
    assert 0.0 < np.hypot(*moved[0]) < 0.05
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-12)
    end, last = course.replanned(course.poses[-1, :2], len(course.poses) - 5, rng)
    assert len(end) >= 3 and last <= len(course.poses) - 3
