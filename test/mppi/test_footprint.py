"""Outlines of robots, and what they keep clear of."""

import json

import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.mppi.costmap import Costmap
from mppi_maml_ros.mppi.critics import CRITICS, Scene
from mppi_maml_ros.mppi.footprint import MOST_DISCS, Footprint

from .test_critics import rollouts

LONG = "[[0.5, 0.2], [0.5, -0.2], [-0.5, -0.2], [-0.5, 0.2]]"
SHAPES = {
    LONG: 0.07,
    "[[0.22, 0.22], [0.22, -0.22], [-0.22, -0.22], [-0.22, 0.22]]": 0.05,
    "[[0.3, 0.15], [0.4, 0.0], [0.3, -0.15], [-0.25, -0.15], [-0.25, 0.15]]": 0.09,  # slanted
    "[[0.2, 0.2], [-0.3, 0.2], [-0.3, -0.2], [0.2, -0.2], [0.0, 0.0]]": 0.16,  # not convex
}


def corners(text):
    return np.array(json.loads(text))


def edges(text, per_edge=100):
    a = corners(text)
    share = np.linspace(0.0, 1.0, per_edge)[:, None]
    return np.concatenate([p + share * (q - p) for p, q in zip(a, np.roll(a, -1, axis=0))])


def inside(text, places):
    """By the number of edges that a ray to the right crosses."""
    a = corners(text)
    crossed = np.zeros(len(places), dtype=int)
    for p, q in zip(a, np.roll(a, -1, axis=0)):
        between = (p[1] > places[:, 1]) != (q[1] > places[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            x = p[0] + (places[:, 1] - p[1]) / (q[1] - p[1]) * (q[0] - p[0])
        crossed += between & (x > places[:, 0])
    return crossed % 2 == 1


@pytest.mark.parametrize("text", SHAPES)
def test_the_outline_is_covered_by_few_discs_that_hardly_reach_beyond_it(text):
    footprint = Footprint.of(text, 0.0)
    outline = edges(text)
    assert 1 < len(footprint.centres) <= MOST_DISCS
    apart = np.linalg.norm(outline[:, None] - footprint.centres, axis=2).min(axis=1)
    assert (apart <= footprint.radius + 1e-3).all()
    angle = np.linspace(0.0, 2.0 * np.pi, 60)
    rim = np.column_stack([np.cos(angle), np.sin(angle)]) * footprint.radius
    beyond = (footprint.centres[:, None] + rim).reshape(-1, 2)
    beyond = beyond[~inside(text, beyond)]
    reach = np.linalg.norm(beyond[:, None] - outline, axis=2).min(axis=1).max()
    assert reach <= SHAPES[text]


def test_without_an_outline_the_footprint_is_the_disc():
    footprint = Footprint.of(" ", 0.3)
    assert footprint.radius == 0.3 and footprint.centres.tolist() == [[0.0, 0.0]]


NONE = ["round", "[]", "[[1, 2], [3, 4]]", "[[1, 2, 3], [1, 2, 3], [4, 5, 6]]", '[["a", 1], [2, 3], [4, 5]]']


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_outline_is_refused(text):
    with pytest.raises(InvalidValueError, match="footprint must be three places or more, .* got"):
        CRITICS["obstacles"](footprint=text)


@pytest.mark.parametrize("text", ["[[1, 0], [0, 1], [11, 0]]", "[[1, 0], [0, 1], [NaN, 0]]"])
def test_an_outline_far_from_the_base_is_refused(text):
    with pytest.raises(InvalidValueError, match="within 10 m of the base"):
        Footprint.of(text, 0.0)


def corridor(width):
    """Along x, walls on both sides."""
    data = np.zeros((120, 120), dtype=np.int8)
    rows = (np.arange(120) + 0.5) * 0.025 - 1.5
    data[np.abs(rows) > width / 2.0] = 100
    return Costmap(data, 0.025, (-1.5, -1.5))


def test_a_long_robot_fits_a_corridor_along_it_and_not_across_it():
    footprint, grid = Footprint.of(LONG, 0.0), corridor(0.7)
    along, across = (footprint.clearance(np.array([[0.0, 0.0, yaw]]), grid)[0] for yaw in (0.0, 0.5 * np.pi))
    assert 0.05 < along < 0.16  # 0.15 m on each side, less what the discs reach beyond the outline
    assert across < 0.0
    assert Footprint.disc(0.54).clearance(np.zeros((1, 3)), grid)[0] < 0.0  # the disc about it never fits


def test_the_critic_tells_a_long_robot_that_turns_in_a_corridor_from_one_that_drives_on():
    scene = Scene(costmap=corridor(0.7))
    turns, drives = CRITICS["obstacles"](footprint=LONG).value(rollouts([(0.0, 1.5), (0.3, 0.0)], scene))
    assert turns > 1000.0 and drives < 1.0
    disc = CRITICS["obstacles"](footprint_radius=0.54).value(rollouts([(0.0, 1.5), (0.3, 0.0)], scene))
    assert (disc > 1000.0).all()
