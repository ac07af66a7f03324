"""What was warmed up drives and adapts without compiling, or loading, anything more."""

import subprocess
import sys

import pytest

COUNT = """
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from mppi_maml_ros.core.types import Odometry

def compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("mppi_maml_ros")]
    found = {value for module in modules for value in vars(module).values() if isinstance(value, Dispatcher)}
    return {(f.__module__, f.__name__, str(s)) for f in found for s in f.signatures}

def drive(take_odometry, take_command, act):
    dt = 0.02
    for k in range(200):
        stamp = k * dt + 0.001 * (k % 3)
        v = 0.3 * (1.0 - np.exp(-stamp / 0.3))
        take_odometry(Odometry(stamp, np.array([0.25 * stamp, 0.1, 0.2 * stamp]), np.array([v, 0.2])))
        take_command(stamp, (0.4 + 0.1 * np.sin(stamp), 0.2 * np.cos(stamp)))
        act(stamp)
"""
CONTROLLER = """
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.mppi.prediction import Predictor
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel
from mppi_maml_ros.adaptation.adapters import make_adapter
from mppi_maml_ros.adaptation.sgd import SGDConfig
meta = MetaModel.load(PACKAGED)
weights = make_adapter("physics+maml", meta, SGDConfig()).start()
predictor = Predictor(0.05)
predictor.warm_up()
before = compiled()
models = (None, weights)
drive(predictor.add_odometry, predictor.record, lambda now: [predictor.now(now + 0.03, m) for m in models])
assert compiled() == before, compiled() - before
"""
LOOP = """
from mppi_maml_ros.control.config import ControlConfig
from mppi_maml_ros.control.loop import ControlLoop
from mppi_maml_ros.core.types import OdometryMessage, VelocityLimits
from mppi_maml_ros.dynamics.first_order import typical
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.references.figures import figure8
from mppi_maml_ros.weights.slot import WeightsSlot
config, slot = MPPIConfig(batch_size=32), WeightsSlot(0.05)
weak = ResidualWeights.first_order((0.1, 0.1), (0.5, 0.5))
mppi = MPPIController(config, VelocityLimits(), 0)
mppi.warm_up(weak)
loop = ControlLoop(ControlConfig(reference="circle", timing="progress"), mppi, slot, figure8())
before = compiled()
def take(sample):
    now = sample.stamp + 1.0
    loop.handle_odometry(OdometryMessage.planar(now, sample.state), now, sample.stamp)
def act(now):
    if now > 1.0 and not slot.current.version:
        slot.install(weak)
    states.append(loop.tick(now + 1.0, now).state.name)
states = []
drive(take, lambda *_: None, act)
assert "RUNNING" in states and compiled() == before, compiled() - before
"""
ADAPTATION = """
from mppi_maml_ros.adaptation.online import OnlineAdaptation, OnlineConfig
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel
online = OnlineAdaptation(MetaModel.load(PACKAGED), OnlineConfig())
online.warm_up()
before, offered = compiled(), []
def act(now):
    if online.due:
        offered.append(online.attempt().weights is not None)
        online.installed()
drive(online.add_odometry, online.add_command, act)
assert any(offered) and compiled() == before, compiled() - before
"""


@pytest.mark.parametrize("what", [CONTROLLER, LOOP, ADAPTATION], ids=["controller", "loop", "adaptation"])
def test_nothing_is_compiled_while_the_robot_drives(what):
    done = subprocess.run([sys.executable, "-c", COUNT + what], capture_output=True, text=True, timeout=240.0)
    assert done.returncode == 0, done.stderr
