import threading

import attrs
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.weights.slot import Snapshot, WeightsSlot


def test_versions_only_grow_and_start_at_the_prior():
    slot = WeightsSlot(0.05)
    assert slot.current.version == 0 and slot.current.weights is None
    versions = [slot.install(ResidualWeights.prior()).version for _ in range(5)]
    assert versions == [1, 2, 3, 4, 5]


@pytest.mark.fault(29)
def test_weights_for_another_step_are_refused_and_nothing_changes():
    slot = WeightsSlot(0.05)
    slot.install(ResidualWeights.prior())
    before = slot.current
    with pytest.raises(InvalidValueError, match="model_dt"):
        slot.install(ResidualWeights.prior(model_dt=0.1))
    assert slot.current is before


@pytest.mark.fault(35)
def test_a_hundred_concurrent_swaps_are_serialised():
    slot, versions = WeightsSlot(0.05), []
    barrier = threading.Barrier(20)

    def swap():
        barrier.wait()
        for _ in range(5):
            versions.append(slot.install(ResidualWeights.prior()).version)

    threads = [threading.Thread(target=swap) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    assert sorted(versions) == list(range(1, 101))
    assert slot.current.version == 100
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.fault(34)
def test_a_snapshot_never_changes():
    slot = WeightsSlot(0.05)
    snapshot = slot.install(ResidualWeights.prior())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        snapshot.version = 9
    with pytest.raises(ValueError, match="read-only"):
        snapshot.weights.linear[0, 0] = 1.0
    slot.install(None)
    assert snapshot.version == 1 and snapshot.weights is not None
    assert slot.current.weights is None and slot.current.version == 2
    assert snapshot == snapshot and snapshot != Snapshot(snapshot.weights, 1)


def test_it_can_start_with_weights():
    weights = ResidualWeights.prior()
    slot = WeightsSlot(0.05, weights)
    assert slot.current.weights is weights and slot.current.version == 0
    slot.install(None)
    assert slot.current.weights is None


@pytest.mark.parametrize(("difference", "fits"), [(0.9e-6, True), (1.1e-6, False)])
def test_the_step_of_the_weights_is_compared_to_a_microsecond(difference, fits):
    slot = WeightsSlot(0.05)
    for sign in (-1.0, 1.0):
        weights = ResidualWeights.prior(model_dt=0.05 + sign * difference)
        if fits:
            assert slot.install(weights).weights is weights
        else:
            with pytest.raises(InvalidValueError, match="model_dt"):
                slot.install(weights)
