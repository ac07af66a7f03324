"""A policy's way ahead as a proposal for MPPI: the policy drives the model that MPPI rolls out."""

from __future__ import annotations

import numpy as np

from ..core.types import Array
from ..dynamics.features import MAX_HISTORY
from ..dynamics.residual import ResidualWeights, step
from ..mppi.rollouts.base import Model
from .acting import RobotPolicy
from .environments import tracking


class PolicyProposal:
    """What a policy would command if the robot were as its model; as ``mppi.proposal.Proposal``.

    The model adapts, so the policy is taken as it is. Beyond the window the reference stands still. Models
    that roll out by themselves are taken for the kinematic prior.

    Args:
        policy: without a memory, or one that begins anew at each step.
    """

    def __init__(self, policy: RobotPolicy) -> None:
        self._policy = policy

    def __call__(self, state: Array, reference: Array, history: Array, last: Array, model: Model) -> Array:
        steps = len(reference) - 1
        actor = self._policy.actor()
        known = isinstance(model, ResidualWeights)
        weights = model if known else ResidualWeights.prior(0, tracking.DT)
        assert isinstance(weights, ResidualWeights)
        past = np.repeat(np.asarray(last, dtype=float)[None], MAX_HISTORY, axis=0)
        past[: len(history)] = history[:MAX_HISTORY]
        now, last = np.array(state, dtype=float), np.asarray(last, dtype=float)
        far = np.concatenate([reference, np.repeat(reference[-1:], tracking.WINDOW, axis=0)])
        commands = np.empty((steps, 2))
        for t in range(steps):
            window = far[t : t + tracking.WINDOW]
            action = actor(tracking.observe(now, window, last))
            commands[t] = last = tracking.command(action, window)
            now = step(weights, now, last, past[: max(weights.history, 1)])
            past = np.concatenate([last[None], past[:-1]])
            if self._policy.recurrent:
                actor.paid(float(tracking.reward(now, far[t + 1], action)))
        return commands
