"""The trainers by name."""

from __future__ import annotations

from ...core.errors import InvalidValueError
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

TRAINERS: dict[str, type[Trainer]] = {
    kind.name: kind for kind in (MAML, FOMAML, Reptile, ANIL, MetaSGD, ALPaCA, GrBAL, ReBAL, Supervised)
}


def trainer_class(name: str) -> type[Trainer]:
    """The trainer called ``name``.

    Raises:
        InvalidValueError: unknown; the message lists the known ones.
    """
    if name not in TRAINERS:
        raise InvalidValueError(f"trainer must be one of {', '.join(TRAINERS)}, got {name!r}")
    return TRAINERS[name]
