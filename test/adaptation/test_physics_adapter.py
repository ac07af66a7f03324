"""What the physics adapter remembers from one fit to the next."""

import numpy as np

from mppi_maml_ros.adaptation.adapters.physics import PhysicsAdapter
from mppi_maml_ros.dynamics.identification import physics
from mppi_maml_ros.dynamics.transitions import Transitions


def transitions(count, taps):
    rng = np.random.default_rng(0)
    states, commands = rng.normal(0.0, 0.1, (count, 5)), rng.normal(0.0, 0.3, (count, 2))
    history, segments = np.zeros((count, taps, 2)), np.zeros(count, dtype=int)
    return Transitions(0.05 * np.arange(count), states, commands, history, states, segments, 0.05)


def test_errors_are_looked_at_once_for_data_that_go_on_and_anew_for_others(meta, monkeypatch):
    looked, fit = [], physics.fit
    monkeypatch.setattr(physics, "fit", lambda *a, **k: looked.append(k["errors"] is None) or fit(*a, **k))
    adapter, data = PhysicsAdapter(meta), transitions(100, meta.delay_taps)
    first = adapter.fit(data[:40])
    assert np.array_equal(adapter.fit(data[:50]).errors, first.errors)
    adapter.fit(data[:40])  # less than before, so that it is another look at them
    adapter.fit(data[:100])  # far more
    adapter.fit(data[1:100])  # they begin elsewhere
    assert looked == [True, False, True, True, True]


def test_known_errors_are_those_that_are_found_and_change_nothing(meta):
    data = transitions(100, meta.delay_taps)
    given = meta.physics, data.inputs, data.residuals
    found = physics.fit(*given, first=data.first)
    known = physics.fit(*given, first=data.first, errors=found.errors)
    assert np.array_equal(known.mean, found.mean) and np.array_equal(known.errors, found.errors)
