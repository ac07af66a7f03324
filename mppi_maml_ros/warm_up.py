"""Compiles every numerical kernel into the cache on disk: ``python -m mppi_maml_ros.warm_up``.

A node that starts afterwards loads machine code instead of compiling for half a minute.
"""

from __future__ import annotations

import time

import numpy as np


def controller() -> None:
    """The control step with the prior and with every depth of network that weights can have."""
    from .control.timing import Retiming
    from .core.types import VelocityLimits
    from .dynamics.prior_bank import PriorBank
    from .dynamics.residual import small_weights
    from .mppi.config import MPPIConfig
    from .mppi.controller import MPPIController
    from .mppi.critics import CRITICS, make_critics
    from .mppi.prediction import Predictor

    taps = 2
    for hidden in ((), (4,), (4, 4)):
        weights = small_weights(taps, 0.05, hidden)
        for knots in (0, 4):
            config = MPPIConfig(batch_size=8, time_steps=8, noise_knots=knots)
            MPPIController(config, VelocityLimits(), seed=0).warm_up(weights)
    Predictor(0.05, taps).warm_up()
    Retiming.warm_up()
    PriorBank(0.05).warm_up()
    config = MPPIConfig(batch_size=8, time_steps=8)
    MPPIController(config, VelocityLimits(), seed=0, critics=make_critics(CRITICS, {})).warm_up(weights)


def simulation() -> None:
    """Every named world, and many worlds at once."""
    from .simulation.firmware import simulate_firmware
    from .simulation.firmware_parameters import FirmwareParameters
    from .simulation.world import WorldParameters, simulate_batch
    from .simulation.worlds import WORLDS, make_world

    for name in WORLDS:
        world = make_world(name, seed=0)
        for _ in range(2):
            world.step((0.1, 0.1), 0.05)
    vector = WorldParameters(command_delay=0.02, odometry_delay=0.02).as_vector()
    simulate_batch(vector[None], np.zeros((1, 4, 2)), 0.05, np.zeros(1, dtype=np.int64))
    bases = FirmwareParameters().as_vector()[None]
    simulate_firmware(bases, np.zeros((1, 4, 2)), 0.05, np.zeros(1, dtype=np.int64))


def adaptation() -> None:
    """An attempt of the default adapter and of the baselines with filters of their own."""
    from .adaptation.online import OnlineAdaptation, OnlineConfig
    from .weights.meta_model import PACKAGED, MetaModel

    meta = MetaModel.load(PACKAGED)
    for name in (OnlineConfig().adapter, "rls", "ekf", "l1"):
        OnlineAdaptation(meta, OnlineConfig(adapter=name)).warm_up()


def meta() -> None:
    """Meta-training; nothing to do where torch is not installed."""
    try:
        from .meta.maml_trainer import MAMLTrainer
    except ImportError:
        return
    MAMLTrainer(hidden_dims=(4,), inner_steps=1, support_size=16, query_size=16).meta_train(1, verbose=False)


def main() -> None:
    """Compile everything and say how long it took."""
    started = time.perf_counter()
    controller()
    simulation()
    adaptation()
    meta()
    print(f"kernels ready after {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
