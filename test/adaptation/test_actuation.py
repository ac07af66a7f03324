"""Limits are searched once in the same data, and anew in others."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.adaptation import actuation
from mppi_maml_ros.adaptation.actuation import Actuation
from mppi_maml_ros.adaptation.online import OnlineAdaptation, OnlineConfig
from mppi_maml_ros.dynamics.residual import ResidualWeights

SLOW = ResidualWeights.first_order((0.3, 0.3), gain=(0.8, 0.8), delay=0.1)


@pytest.fixture
def data(meta, drive):
    loop = OnlineAdaptation(meta, OnlineConfig())
    drive(loop.add_odometry, loop.add_command, SLOW, seconds=6.0)
    return loop.buffer.latest()


@pytest.fixture
def searched(monkeypatch):
    """Counts of transitions that limits were searched in."""
    counts, find = [], actuation.limits.find

    def counted(acting, *known):
        counts.append(len(acting))
        return find(acting, *known)

    monkeypatch.setattr(actuation.limits, "find", counted)
    return counts


def test_limits_are_searched_once_in_the_same_data(meta, data, searched):
    acts = Actuation(meta)
    _, found = acts.look(data)
    _, again = acts.look(data)
    assert searched == [len(data)] and again is found


def test_limits_are_searched_anew_in_other_data_and_after_a_reset(meta, data, searched):
    acts = Actuation(meta)
    acts.look(data)
    acts.look(data[:-5])
    acts.look(data)
    acts.reset()
    acts.look(data)
    assert searched == [len(data), len(data) - 5, len(data), len(data)]


def test_limits_are_searched_anew_when_others_are_known_than_before(meta, data, searched):
    acts = Actuation(meta)
    acts.look(data)
    acts.known = attrs.evolve(acts.known, acceleration=np.full((2, 2), 0.5))
    acts.without(data)
    assert len(searched) == 2
