"""The adapters by name."""

from __future__ import annotations

from collections.abc import Callable

from ...core.errors import InvalidValueError
from ...weights.meta_model import MetaModel
from ..sgd import SGDConfig
from .base import Adapter
from .last_layer import LastLayerAdapter
from .maml import MAMLAdapter
from .online_learner import OnlineLearner
from .physics import PhysicsAdapter


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
}
ADAPTERS = tuple(REGISTRY)
META_TRAINED = ("physics+maml", "maml")  # those that have a network of their own in the meta-model


def make_adapter(name: str, meta: MetaModel, sgd: SGDConfig) -> Adapter:
    """The adapter called ``name``.

    Raises:
        InvalidValueError: unknown, or the meta-model lacks a network that it needs.
    """
    if name not in REGISTRY:
        raise InvalidValueError(f"adapter must be one of {', '.join(ADAPTERS)}, got {name!r}")
    return REGISTRY[name](meta, sgd)
