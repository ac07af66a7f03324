"""The prior that fits: what of a drive it is told by, and when it serves."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mppi_maml_ros.control.loop import ControlLoop
from mppi_maml_ros.dynamics.first_order import typical
from mppi_maml_ros.dynamics.residual import ResidualWeights

LATE = 6  # periods


class Follows:
    """Stands for the bank and remembers what it was told."""

    def __init__(self):
        self.seen, self.resets = [], 0
        self.weights = typical(0.05)

    def follow(self, data):
        self.seen += data.stamps.tolist()

    def reset(self):
        self.resets += 1


@pytest.fixture
def alone(drive):
    """A drive without weights, whose bank is looked at."""
    ready = drive()
    ready.slot = SimpleNamespace(current=SimpleNamespace(weights=None, version=0))
    ready.loop = ControlLoop(ready.config, ready.mppi, ready.slot, ready.figure)
    ready.loop._bank = Follows()
    return ready


def served(ready):
    return ready.mppi.calls[-1][1]


def test_the_default_prior_is_the_one_that_fits(drive):
    assert drive().config.prior == "auto"


def test_every_transition_is_followed_once_and_in_order_whatever_serves(alone):
    alone.run(1.0)
    alone.slot.current = SimpleNamespace(weights=ResidualWeights.first_order((0.3, 0.3)), version=1)
    alone.run(1.0)
    assert served(alone) is alone.slot.current.weights
    seen = alone.loop._bank.seen
    assert len(seen) >= 35 and (np.diff(seen) > 0.0).all()
    np.testing.assert_allclose(np.diff(seen), 0.05, atol=1e-6)


@pytest.mark.parametrize("weights", [None, ResidualWeights.prior(2), typical(0.05)])
def test_where_nothing_is_learned_the_one_that_fits_serves(alone, weights):
    alone.slot.current = SimpleNamespace(weights=weights, version=3)
    out = alone.run(0.5)
    assert served(alone) is alone.loop._bank.weights and out.weights_version == 3


def test_what_adaptation_goes_back_to_serves_where_the_twist_is_not_believed(alone, monkeypatch):
    weights = typical(0.05)
    alone.slot.current = SimpleNamespace(weights=weights, version=3)
    monkeypatch.setattr(type(alone.loop._step.twist), "believed", property(lambda self: False))
    alone.run(0.5)
    assert served(alone) is weights


def test_a_prior_that_was_asked_for_is_not_replaced(drive):
    ready, weights = drive(prior="kinematic"), ResidualWeights.prior(2)
    ready.slot = SimpleNamespace(current=SimpleNamespace(weights=weights, version=3))
    ready.loop = ControlLoop(ready.config, ready.mppi, ready.slot, ready.figure)
    ready.run(0.5)
    assert served(ready) is weights


def test_a_robot_that_is_held_tells_nothing_and_one_that_was_late_does(alone):
    alone.run(1.0)
    blocked, bank = alone.loop._blocked, alone.loop._bank
    count = len(bank.seen)
    blocked.suspected = True
    alone.loop._follow()
    assert len(bank.seen) == count
    blocked.suspected = False
    alone.advance(0.05)
    alone.message()
    alone.loop._follow()
    assert len(bank.seen) > count
    count = len(bank.seen)
    alone.advance(0.05)
    alone.message()
    blocked.suspected = blocked.blocked = True
    alone.loop._follow()
    blocked.suspected = blocked.blocked = False
    alone.loop._follow()
    assert len(bank.seen) == count  # dropped


def test_another_source_of_the_twist_begins_anew(alone, monkeypatch):
    alone.run(0.5)
    bank = alone.loop._bank
    assert bank.resets == 0
    monkeypatch.setattr(type(alone.loop._step.twist), "believed", property(lambda self: False))
    alone.loop._follow()
    alone.loop._follow()
    assert bank.resets == 1


def test_a_late_robot_is_found_out_while_it_drives(drive):
    """The commands of the robot act late; the prior says so within a few seconds."""
    ready = drive()
    ready.slot = SimpleNamespace(current=SimpleNamespace(weights=None, version=0))
    ready.loop = ControlLoop(ready.config, ready.mppi, ready.slot, ready.figure)
    told = [np.zeros(2)] * LATE
    for k in range(160):
        told.append(np.array([0.4 + 0.2 * np.sin(0.15 * k), 0.3 * np.sin(0.1 * k)]))
        ready.mppi.override = lambda state, reference: SimpleNamespace(command=told[-1])
        ready.command = told[k]
        ready.advance(0.05)
        ready.message()
        out = ready.loop.tick(ready.t, ready.steady)
        told[-1] = out.command
    assert served(ready).transport_delay == pytest.approx((LATE, LATE), abs=1)
