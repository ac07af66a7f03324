"""Whether a model answers commands as the robot does, which a fit to a drive alone does not tell.

While a controller drives, commands follow from velocities, and there is little in the data that tells the two
apart: a model may predict all of them and yet say that commands change nothing, or the reverse of what they
do. A controller that believes it has no reason to correct, and stays beside its path. So what an adapter
found is held against the physics layer, which knows what speed loops are like, and is drawn towards the
kinematic model, which answers at once and in full, until both answer alike.

Source: Ljung, System Identification (1999), 13.4 (closed loops whose data do not tell the system);
Pannocchia and Rawlings, Disturbance models for offset-free MPC (AIChE J. 2003), for the push.
"""

from __future__ import annotations

import attrs
import numpy as np

from ..core.types import Array
from ..dynamics.compiled import open_loop
from ..dynamics.identification.error_models import TYPICAL
from ..dynamics.residual import ResidualWeights
from ..dynamics.transitions import Transitions
from ..weights.meta_model import MetaModel
from .adapters.base import Adaptation, Adapter
from .adapters.maml import MAMLAdapter
from .adapters.physics import PhysicsAdapter
from .guard import ROLLOUT

MORE = np.array([0.1, 0.2])  # [m/s, rad/s] that a command is changed by, up and down
PROBES, APART = 5, 8  # newest transitions from which commands are held, and how far they lie apart
LEAST, MOST = 0.6, 1.75  # of the answer of the physics layer, from wherever it is asked
MOST_OF_NETWORKS = 1.6  # whose answers change from place to place
ASTRAY = 2.0  # times as far off is what serves taken back
EARLY = 10  # steps in which a robot shows how quick it is: who thinks it quicker or slower makes it swing
FAINT = 0.05  # answers below are taken for it
PUSH = TYPICAL * np.array([[1.0], [0.25], [1.0]])  # of models whose errors are not told from pushes
AFRESH = (20, 40)  # transitions needed where data were not to be believed, with and without speed loops
SHARES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)  # of the correction

_SIGNS = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def believed(adapter: Adapter) -> bool:
    """Whether an adapter knows what robots are like: the physics layer, and starts that are whole robots."""
    return isinstance(adapter, PhysicsAdapter | MAMLAdapter)


def answers(weights: ResidualWeights, data: Transitions) -> Array:
    """By how much the mean velocity over a rollout, and EARLY, changes with the command held, (2, PROBES, 2).

    Of (v, omega), as a share of the change of the command: 1 for the kinematic model. A rollout begins at
    one of the newest transitions with the command there; there are fewer when the data are few.
    """
    near = data[::-1][: 1 + APART * (PROBES - 1) : min(APART, max(len(data) // PROBES, 1))]
    held = (near.commands + (_SIGNS * MORE)[:, None]).reshape(-1, 2)
    count = len(_SIGNS)
    ends = open_loop(
        weights,
        np.tile(near.states, (count, 1)),
        np.repeat(held[:, None], ROLLOUT, axis=1),
        np.tile(near.history, (count, 1, 1)),
    )
    mean = np.stack([ends[..., 3:5].mean(axis=1), ends[:, :EARLY, 3:5].mean(axis=1)])
    mean = mean.reshape(2, count, len(near), 2)
    found: Array = np.stack(
        [mean[:, 0, :, 0] - mean[:, 1, :, 0], mean[:, 2, :, 1] - mean[:, 3, :, 1]], axis=2
    )
    return found / (2.0 * MORE)


def toward_prior(weights: ResidualWeights, share: float) -> ResidualWeights:
    """``share`` of the correction, in [0, 1]; 0 is the kinematic prior."""
    if share == 1.0:
        return weights
    layers = weights.layers
    if layers:
        scaled = [(part * np.float32(share)) for part in layers[-1]]
        layers = (*layers[:-1], (scaled[0], scaled[1]))
    return attrs.evolve(
        weights,
        linear=weights.linear * np.float32(share),
        layers=layers,
        displacement_blend=weights.displacement_blend * share,
        momentum=weights.momentum * np.float32(share),
    )


class Answers:
    """Draws what an adapter found towards the prior until it answers commands as the physics layer does.

    The physics layer itself is believed, and so are starts that are whole robots.

    Args:
        meta: of the physics layer.
    """

    def __init__(self, meta: MetaModel) -> None:
        self._physics = PhysicsAdapter(meta)

    def _expected(self, unlimited: Transitions, data: Transitions, known: ResidualWeights) -> Array:
        """Answers of the physics layer, (2, PROBES, 2)."""
        found = self._physics.adapt(unlimited).weights
        found = attrs.evolve(found, transport_delay=known.transport_delay, acceleration=known.acceleration)
        return answers(found, data)

    def astray(
        self,
        adapter: Adapter,
        weights: ResidualWeights | None,
        unlimited: Transitions,
        data: Transitions,
        known: ResidualWeights,
    ) -> bool:
        """Whether ``weights`` of an adapter are far from answering as the robot does; None does as it should.

        Args:
            unlimited: what adapters see of the data.
            data: of the buffer.
            known: with the transport delay at which commands act, and the limits of acceleration.
        """
        if weights is None or believed(adapter):
            return False
        return not _alike(weights, data, self._expected(unlimited, data, known), ASTRAY)

    def warm_up(
        self, weights: ResidualWeights, unlimited: Transitions, data: Transitions, known: ResidualWeights
    ) -> None:
        """Compile all that is needed later."""
        _alike(weights, data, self._expected(unlimited, data, known))

    def limit(
        self,
        adapter: Adapter,
        found: Adaptation,
        unlimited: Transitions,
        data: Transitions,
        known: ResidualWeights,
    ) -> Adaptation:
        """What of ``found`` a controller may believe, and how much of the correction that is.

        Weights that know of no push get one: without it what they get wrong they get wrong for ever, and the
        robot stays as far from its path.
        """
        if believed(adapter):
            return found
        weights = found.weights
        if not weights.error_model.any() and not weights.has_momentum:
            weights = attrs.evolve(weights, error_model=PUSH)
        expected = self._expected(unlimited, data, known)
        share = next(s for s in SHARES if s == 0.0 or _alike(toward_prior(weights, s), data, expected))
        return attrs.evolve(found, weights=toward_prior(weights, share), share=share)


def _alike(weights: ResidualWeights, data: Transitions, expected: Array, wider: float = 1.0) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        found = answers(weights, data)
        found[1] = np.maximum(found[1], FAINT)  # none yet, of a late robot
        ratio = found / np.maximum(expected, FAINT)
    most = np.array([MOST_OF_NETWORKS if weights.layers else MOST, MOST])[:, None, None]
    return bool(((ratio >= LEAST / wider) & (ratio <= most * wider)).all())
