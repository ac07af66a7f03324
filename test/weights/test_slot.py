import threading

import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.weights.slot import WeightsSlot


def test_versions_only_grow_and_start_at_the_prior():
    slot = WeightsSlot(0.05)
    assert slot.current.version == 0 and slot.current.weights is None
    versions = [slot.install(ResidualWeights.prior()).version for _ in range(5)]
    assert versions == [1, 2, 3, 4, 5]


def test_weights_for_another_step_are_refused_and_nothing_changes():
    slot = WeightsSlot(0.05)
    slot.install(ResidualWeights.prior())
    before = slot.current
    with pytest.raises(InvalidValueError, match="model_dt"):
        slot.install(ResidualWeights.prior(model_dt=0.1))
    assert slot.current is before


def test_roll_back_serves_the_weights_before():
    slot = WeightsSlot(0.05)
    first, second = ResidualWeights.prior(), ResidualWeights.prior(1)
    slot.install(first)
    slot.install(second)
    assert slot.roll_back().weights is first
    assert slot.current.version == 3


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
