"""Swaps during control: each step uses one snapshot from its beginning to its end, to the bit."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from mppi_maml_ros.control.config import ControlConfig
from mppi_maml_ros.control.loop import ControlLoop
from mppi_maml_ros.core import se2
from mppi_maml_ros.core.types import OdometryMessage, VelocityLimits
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.references.figures import circle
from mppi_maml_ros.safety.codes import State
from mppi_maml_ros.weights.slot import WeightsSlot

LIMITS = VelocityLimits(vx_max=1.0)
TICKS, SWAPS = 120, 1000


class Replay:
    """A slot that serves what is put into it."""

    current = None


def drive(slot, before_tick=lambda k: None):
    """Outputs of a drive along a circle in simulated time with the real controller."""
    mppi = MPPIController(MPPIConfig(batch_size=64, time_steps=10), LIMITS, seed=3)
    config = ControlConfig(limits=LIMITS, reference="circle", time_steps=10)
    loop = ControlLoop(config, mppi, slot, circle(2.0, 0.5))
    pose, command, outputs = np.zeros(3), np.zeros(2), []
    for k in range(TICKS):
        now = 100.0 + 0.05 * k
        pose = se2.integrate(pose, np.array([command[0], 0.0, command[1]]), 0.05)
        loop.handle_odometry(OdometryMessage.planar(now - 0.01, (*pose, *command)), now, now)
        before_tick(k)
        outputs.append(loop.tick(now, now, with_trajectory=True))
        command = outputs[-1].command
    return outputs


@pytest.mark.fault(34)
@pytest.mark.fault(35)
def test_a_thousand_swaps_during_control_change_no_bit_of_any_step():
    slot, installed, halt = WeightsSlot(0.05), {0: None}, threading.Event()
    rng = np.random.default_rng(0)
    models = [
        ResidualWeights.first_order(rng.uniform(0.05, 0.5, 2), rng.uniform(0.5, 1.5, 2)) for _ in range(16)
    ]
    due, done = threading.Semaphore(0), threading.Semaphore(0)

    def share(k):
        return (k + 1) * SWAPS // TICKS - k * SWAPS // TICKS if k >= 0 else 0

    def swap():
        for k in range(SWAPS):
            due.acquire()
            if halt.is_set():
                return
            weights = models[k % len(models)]
            installed[slot.install(weights).version] = weights
            done.release()

    def before_tick(k):
        # Each tick allows a share of the swaps, which then fall anywhere into it or the next one.
        due.release(share(k))
        for _ in range(share(k - 1)):
            assert done.acquire(timeout=30.0)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        outputs = drive(slot, before_tick)
        thread.join(30.0)
    finally:
        halt.set()
        due.release()
        thread.join()
    assert slot.current.version == SWAPS and sorted(installed) == list(range(SWAPS + 1))
    ran = [out for out in outputs if out.state is State.RUNNING]
    versions = [out.weights_version for out in ran]
    assert versions == sorted(versions) and len(set(versions)) > 20
    assert len(ran) > 100

    # The same drive again, with nothing but the snapshot that each tick says it has used.
    replay = Replay()

    def serve(k):
        version = outputs[k].weights_version
        replay.current = SimpleNamespace(weights=installed[version], version=version)

    for first, second in zip(outputs, drive(replay, serve), strict=True):
        assert first.weights_version == second.weights_version or first.state is not State.RUNNING
        assert np.array_equal(first.command, second.command)
        assert (first.predicted_pose is None) == (second.predicted_pose is None)
        if first.predicted_pose is not None:
            assert np.array_equal(first.predicted_pose, second.predicted_pose)
        if first.trajectory is not None:
            assert np.array_equal(first.trajectory, second.trajectory)


@pytest.mark.fault(34)
def test_another_model_would_have_changed_the_commands():
    slot = WeightsSlot(0.05)
    slow = ResidualWeights.first_order((0.4, 0.4), gain=(0.6, 0.6))
    plain = drive(slot)
    slot.install(slow)
    assert any(not np.array_equal(a.command, b.command) for a, b in zip(plain, drive(slot), strict=True))
