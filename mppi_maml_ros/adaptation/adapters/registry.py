"""The adapters by name."""

from __future__ import annotations

from collections.abc import Callable

from ...core.errors import InvalidValueError
from ...weights.meta_model import MetaModel
from ..sgd import SGDConfig
from .alpaca import ALPaCAAdapter
from .base import Adapter
from .inner_loop import InnerLoopAdapter
from .last_layer import LastLayerAdapter
from .maml import MAMLAdapter
from .online_learner import OnlineLearner
from .physics import PhysicsAdapter
from .rebal import ReBALAdapter


# The three below import numba, which takes a second; a robot that does not use them need not wait.
def _rls(meta: MetaModel, sgd: SGDConfig) -> Adapter:
    from .rls import RLSAdapter

    return RLSAdapter(meta)


def _ekf(meta: MetaModel, sgd: SGDConfig) -> Adapter:
    from .ekf import EKFAdapter

    return EKFAdapter(meta)


def _l1(meta: MetaModel, sgd: SGDConfig) -> Adapter:
    from .l1 import L1Adapter

    return L1Adapter(meta)


REGISTRY: dict[str, Callable[[MetaModel, SGDConfig], Adapter]] = {
    "physics+maml": lambda meta, sgd: MAMLAdapter(meta, sgd, physics=True),
    "maml": lambda meta, sgd: MAMLAdapter(meta, sgd, physics=False),
    "physics": lambda meta, sgd: PhysicsAdapter(meta),
    "last_layer": lambda meta, sgd: LastLayerAdapter(meta),
    "rls": _rls,
    "ekf": _ekf,
    "l1": _l1,
    "online_learner": OnlineLearner,
    "anil": lambda meta, sgd: InnerLoopAdapter("anil", meta, head_only=True),
    "meta_sgd": lambda meta, sgd: InnerLoopAdapter("meta_sgd", meta),
    "alpaca": lambda meta, sgd: ALPaCAAdapter(meta),
    "grbal": lambda meta, sgd: InnerLoopAdapter("grbal", meta),
    "rebal": lambda meta, sgd: ReBALAdapter(meta),
}
ADAPTERS = tuple(REGISTRY)
META_TRAINED = ("physics+maml", "maml", "anil", "meta_sgd", "alpaca", "grbal", "rebal", "mb")
"""Networks of the meta-model, by the adapter that uses them; ``mb`` is the baseline of mb.py."""


def make_adapter(name: str, meta: MetaModel, sgd: SGDConfig) -> Adapter:
    """The adapter called ``name``.

    Raises:
        InvalidValueError: unknown, or the meta-model lacks a network that it needs.
    """
    if name not in REGISTRY:
        raise InvalidValueError(f"adapter must be one of {', '.join(ADAPTERS)}, got {name!r}")
    return REGISTRY[name](meta, sgd)
