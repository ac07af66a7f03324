"""The trainers by name."""

from __future__ import annotations

from ...core.registry import Registry
from .alpaca import ALPaCA
from .anil import ANIL
from .base import Trainer
from .fomaml import FOMAML
from .grbal import GrBAL
from .maml import MAML
from .meta_sgd import MetaSGD
from .rebal import ReBAL
from .reptile import Reptile
from .supervised import Supervised

TRAINERS: Registry[type[Trainer]] = Registry("trainer", "mppi_maml_ros.trainers")
"""All trainers by name."""

for _kind in (MAML, FOMAML, Reptile, ANIL, MetaSGD, ALPaCA, GrBAL, ReBAL, Supervised):
    TRAINERS.register(_kind.name, _kind)
