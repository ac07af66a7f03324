"""A path with cusps, a corridor and a goal with a heading, by the control loop as in the node."""

import numpy as np

from mppi_maml_ros.experiments.studies import path as work


def test_the_path_is_followed_to_its_goal_without_touching_a_wall():
    for seed in (0, 13):
        result = work.drive(seed)
        assert result.success, work.row_of(seed, result)


def test_the_path_has_two_cusps_and_the_corridor_leaves_ten_centimetres():
    path = work.recorded_path()
    assert len(work.turning_points(path)) == 3
    np.testing.assert_allclose(path[-1], [2.8, 1.2, -np.pi], atol=1e-9)
    assert work.CORRIDOR[2] - work.ROBOT_RADIUS <= 0.1 + 1e-9


def test_going_too_far_is_noticed():
    path = work.recorded_path()
    beyond = path[-1] + np.array([-0.08, 0.0, 0.0])
    states = np.concatenate([path, beyond[None]])
    assert abs(work.overshoot(states, path) - 0.08) < 1e-6
