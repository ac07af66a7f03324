"""The adapters by name."""

from __future__ import annotations

from collections.abc import Callable

from ...core.registry import Registry
from ...weights.meta_model import MetaModel
from ..sgd import SGDConfig
from .alpaca import ALPaCAAdapter
from .arx import ARXAdapter
from .base import Adapter
from .ekf import EKFAdapter
from .inner_loop import InnerLoopAdapter
from .l1 import L1Adapter
from .last_layer import LastLayerAdapter
from .maml import MAMLAdapter, starts_of
from .online_learner import OnlineLearner
from .physics import PhysicsAdapter
from .rebal import ReBALAdapter
from .rls import RLSAdapter

ADAPTERS: Registry[Callable[[MetaModel, SGDConfig], Adapter]] = Registry("adapter", "mppi_maml_ros.adapters")
"""What makes an adapter of a meta-model and settings of gradient descent, by name; the default first."""

_OWN: dict[str, Callable[[MetaModel, SGDConfig], Adapter]] = {
    "physics+maml": lambda meta, sgd: PhysicsAdapter(meta, starts_of(meta)),
    "maml": MAMLAdapter,
    "physics": lambda meta, sgd: PhysicsAdapter(meta),
    "last_layer": lambda meta, sgd: LastLayerAdapter(meta),
    "rls": lambda meta, sgd: RLSAdapter(meta),
    "ekf": lambda meta, sgd: EKFAdapter(meta),
    "l1": lambda meta, sgd: L1Adapter(meta),
    "arx": lambda meta, sgd: ARXAdapter(meta),
    "online_learner": OnlineLearner,
    "anil": lambda meta, sgd: InnerLoopAdapter("anil", meta, head_only=True),
    "meta_sgd": lambda meta, sgd: InnerLoopAdapter("meta_sgd", meta),
    "alpaca": lambda meta, sgd: ALPaCAAdapter(meta),
    "grbal": lambda meta, sgd: InnerLoopAdapter("grbal", meta),
    "rebal": lambda meta, sgd: ReBALAdapter(meta),
}
for _name, _make in _OWN.items():
    ADAPTERS.register(_name, _make)

META_TRAINED = ("physics+maml", "maml", "anil", "meta_sgd", "alpaca", "grbal", "rebal", "mb")
"""Networks of the meta-model, by the adapter that uses them; ``mb`` is the baseline of mb.py."""


def make_adapter(name: str, meta: MetaModel, sgd: SGDConfig) -> Adapter:
    """The adapter called ``name``.

    Raises:
        InvalidValueError: unknown, or the meta-model lacks a network that it needs.
    """
    return ADAPTERS[name](meta, sgd)
