"""MAML for policies (Finn et al., ICML 2017, algorithm 3), its relatives, and plain policy gradients.

theta' = theta - alpha * gradient of the REINFORCE loss on trajectories of theta in a task; theta moves so
that the trajectories of theta' have higher returns. As in the paper the derivative passes through theta',
not through which trajectories theta draws. Without inner steps this is TRPO or REINFORCE over all tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import attrs
import numpy as np
import torch

from ..core.registry import Registry
from ..meta.gradients.outer import Adam, Parameters
from .config import PolicyConfig
from .environments.base import Environment, Trajectories
from .policy import Batch, Policy, Surrogate
from .sampling import advantages, rollout, samples
from .trpo import TRPO

HELD_OUT = 20  # tasks
HELD_OUT_SEED = 1_000_003  # apart from every training seed
LARGE = 2**20
FILLED, MOST = 0.9, 20  # share of the steps wanted that is enough; trajectories at most, of those asked for
ENOUGH = 100  # samples of a task in a product at least
Numbers = Sequence[np.ndarray]


@attrs.frozen
class PolicyTasks:
    """Tasks for :func:`..meta.loop.run`: its support set is what tells the tasks apart, its query seeds.

    Attributes:
        environment: of the tasks.
        count: tasks that judge.
    """

    environment: Environment
    count: int = HELD_OUT

    def sample(self, rng: np.random.Generator, tasks: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Tasks (T, D) and seeds (T,)."""
        drawn = self.environment.sample_tasks(rng, tasks)
        return [drawn], [rng.integers(0, 2**31, tasks)]

    def held_out(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The same at each call."""
        return self.sample(np.random.default_rng(HELD_OUT_SEED), self.count)


class Adaptation(NamedTuple):
    """Inner steps that were taken.

    Attributes:
        steps: the losses that were stepped down, each around the parameters before it.
        adapted: parameters after the last, (T, P).
        returns: of the trajectories of each, (T, N).
        env_steps: that these took.
    """

    steps: list[Surrogate]
    adapted: torch.Tensor
    returns: list[np.ndarray]
    env_steps: int = 0


class MetaObjective:
    """A loss of adapted parameters, as a function of those that they were adapted from.

    Args:
        rates: alpha of each parameter in each inner step, 0 where it stays: (P,) or a number.
        exact: differentiate through the inner steps, or take d theta'/d theta as 1.
    """

    def __init__(
        self, policy: Policy, adaptation: Adaptation, query: Batch, rates: Sequence[torch.Tensor | float],
        exact: bool,
    ) -> None:  # fmt: skip
        self.policy, self.adaptation, self.query = policy, adaptation, query
        self.rates, self.exact = rates, exact
        self._at = Surrogate(policy, adaptation.adapted, query)
        self._reference = policy.head.log_prob(*self._at.outputs, query.actions)

    def pull_back(self, steps: Sequence[Surrogate], vectors: torch.Tensor) -> torch.Tensor:
        """d theta'/d theta, transposed, times vectors (T, P)."""
        for surrogate, rate in zip(reversed(steps), reversed(self.rates), strict=False):
            vectors = vectors - surrogate.hessian_product(rate * vectors)
        return vectors

    def push(self, steps: Sequence[Surrogate], vectors: torch.Tensor) -> torch.Tensor:
        """d theta'/d theta times vectors (T, P)."""
        for surrogate, rate in zip(steps, self.rates, strict=False):
            vectors = vectors - rate * surrogate.hessian_product(vectors)
        return vectors

    def gradient(self) -> torch.Tensor:
        """Mean over tasks of the loss's derivative by theta, (P,)."""
        return self.pull_back(self.adaptation.steps if self.exact else [], self._at.gradient).mean(dim=0)

    def metric(self, every: int) -> Callable[[torch.Tensor], torch.Tensor]:
        """Second derivative, by theta, of the mean divergence of the adapted policies, times a vector (P,).

        Args:
            every: of so many samples one is taken, though not of a few.
        """
        every = max(1, min(every, self.query.shares.shape[1] // ENOUGH))
        steps = [step.thinned(every) for step in self.adaptation.steps] if self.exact else []
        at, tasks = self._at.thinned(every), len(self.query.observations)

        def product(vector: torch.Tensor) -> torch.Tensor:
            moved = self.push(steps, vector.expand(tasks, -1))
            return self.pull_back(steps, at.fisher_product(moved)).mean(dim=0)

        return product

    @property
    def loss(self) -> float:
        """Of theta."""
        return float(-self.query.weights.sum(dim=1).mean())

    def measure(self, flat: torch.Tensor) -> tuple[float, float]:
        """Loss and mean divergence of the adapted policies if theta were ``flat`` (P,)."""
        at = flat.expand(len(self.query.observations), -1)
        for step, rate in zip(self.adaptation.steps, self.rates, strict=True):
            at = at - rate * Surrogate(self.policy, at, step.batch).gradient
        out = self.policy.outputs(at, self.query.observations)
        ratio = (self.policy.head.log_prob(*out, self.query.actions) - self._reference).exp()
        loss = -(self.query.weights * ratio).sum(dim=1).mean()
        divergence = (
            (self.policy.head.divergence(self._at.outputs, out) * self.query.shares).sum(dim=1).mean()
        )
        return float(loss), float(divergence)


class Counted:
    """An outer update whose checkpoint also holds how many steps environments have taken.

    Args:
        inner: the update.
    """

    def __init__(self, inner: TRPO | Adam) -> None:
        self.inner, self.env_steps = inner, 0

    @property
    def steps(self) -> int:
        """Updates made."""
        return self.inner.steps

    def tensors(self) -> dict[str, torch.Tensor]:
        """State, for checkpoints; in single precision a count needs two numbers."""
        return {**self.inner.tensors(), "env_steps": torch.tensor(divmod(self.env_steps, LARGE)).float()}

    def restore(self, tensors: dict[str, torch.Tensor], steps: int) -> None:
        """Inverse of :meth:`tensors`."""
        self.inner.restore(tensors, steps)
        high, low = tensors["env_steps"].tolist()
        self.env_steps = int(high) * LARGE + int(low)


class PolicyMAML:
    """Meta-learns a policy; what :func:`..meta.loop.run` trains.

    Args:
        config: settings.
        environment: of the tasks.

    Attributes:
        name, exact: of the algorithm; whether second derivatives are taken.
        policy: its network.
        parameters: theta.
        optimiser: the outer update.
        interrupt: called before every update; what it raises ends the training there.
    """

    name = "maml"
    exact = True

    def __init__(self, config: PolicyConfig, environment: Environment) -> None:
        self.config, self.environment = config, environment
        e = environment
        self.policy = Policy(e.observations, e.actions, e.discrete, config.hidden, config.activation)
        flat = self.policy.initial(torch.Generator().manual_seed(config.seed))
        self.parameters = Parameters({"policy": flat})
        self.optimiser = Counted(self._optimiser())
        self.interrupt: Callable[[], None] = lambda: None

    def _optimiser(self) -> TRPO | Adam:
        c, flat = self.config, self.parameters.flat
        return TRPO(flat, c.kl, c.damping) if c.outer == "trpo" else Adam(flat, c.meta_lr)

    @property
    def env_steps(self) -> int:
        """Steps taken by environments in training."""
        return self.optimiser.env_steps

    @property
    def mask(self) -> torch.Tensor | float:
        """1 where a task changes the parameters, 0 where not."""
        return 1.0

    def collect(
        self, flat: torch.Tensor, tasks: np.ndarray, trajectories: int, rng: np.random.Generator,
        fill: bool = False,
    ) -> tuple[Batch, Trajectories]:  # fmt: skip
        """Trajectories of parameters (T, P), and the samples that they are for a policy gradient.

        Args:
            fill: where episodes end early, collect more, until there are about as many steps as so many
                trajectories could have.
        """
        self.interrupt()
        data = rollout(self.environment, self.policy, flat, tasks, trajectories, rng)
        wanted = len(tasks) * trajectories * self.environment.horizon
        while fill and data.steps < FILLED * wanted and data.alive.shape[1] < MOST * trajectories:
            self.interrupt()
            count = data.alive.shape[1]
            more = min(math.ceil(count * (wanted / data.steps - 1.0)), MOST * trajectories - count)
            data = data.joined(rollout(self.environment, self.policy, flat, tasks, more, rng))
        return samples(data, advantages(data, self.config.discount, self.config.gae)), data

    def adapt(
        self, tasks: np.ndarray, rates: Sequence[float], trajectories: int, rng: np.random.Generator,
        flat: torch.Tensor | None = None, fill: bool = False,
    ) -> Adaptation:  # fmt: skip
        """REINFORCE steps from theta in each task, each from trajectories of its own.

        Args:
            rates: alpha of each step.
            flat: in place of theta, (P,).
            fill: see :meth:`collect`.
        """
        at = (self.parameters.flat if flat is None else flat).expand(len(tasks), -1)
        steps, returns, taken = [], [], 0
        for rate in rates:
            batch, data = self.collect(at, tasks, trajectories, rng, fill)
            steps.append(Surrogate(self.policy, at, batch))
            returns.append(data.returns)
            taken += data.steps
            at = at - rate * self.mask * steps[-1].gradient
        return Adaptation(steps, at, returns, taken)

    @torch.no_grad()
    def step(self, support: Numbers, query: Numbers, measure: bool = True) -> tuple[float, float]:
        """One outer iteration on tasks (T, D) with seeds (T,).

        Returns:
            Mean return before and after the inner steps, with a minus: what is minimised.
        """
        c, tasks, rng = self.config, support[0], np.random.default_rng(np.asarray(query[0]))
        rates = [c.inner_lr] * c.inner_steps
        adaptation = self.adapt(tasks, rates, c.trajectories, rng)
        batch, data = self.collect(adaptation.adapted, tasks, c.trajectories, rng)
        masked = [rate * self.mask for rate in rates]
        objective = MetaObjective(self.policy, adaptation, batch, masked, self.exact)
        outer = self.optimiser.inner
        if isinstance(outer, TRPO):
            self.interrupt()
            outer.step(
                objective.gradient(), objective.metric(c.fisher_every), objective.loss, objective.measure
            )
        else:
            outer.step(objective.gradient())
        self.optimiser.env_steps += adaptation.env_steps + data.steps
        after = float(data.returns.mean())
        before = float(adaptation.returns[0].mean()) if adaptation.returns else after
        return -before, -after

    @torch.no_grad()
    def losses(self, support: Numbers, query: Numbers, steps: int | None = None) -> torch.Tensor:
        """Minus the mean return of each task after 0, 1, ... steps, (steps + 1, T), all as in training."""
        c = self.config
        rng, steps = np.random.default_rng(np.asarray(query[0])), c.inner_steps if steps is None else steps
        returns = self.returns(support[0], steps, c.trajectories, rng, later=(1.0,))
        return -torch.from_numpy(returns)

    @torch.no_grad()
    def returns(
        self, tasks: np.ndarray, steps: int, trajectories: int, rng: np.random.Generator,
        rate: float | None = None, fill: bool = False, later: Sequence[float] = (0.5,),
    ) -> np.ndarray:  # fmt: skip
        """Mean return of each task after 0, 1, ... steps, (steps + 1, T).

        Args:
            rate: of the first step.
            later: shares of it that the steps after it take, the last one all that are left; half in the
                authors' tests.
            fill: see :meth:`collect`.
        """
        first = self.config.inner_lr if rate is None else rate
        rates = [first, *(first * later[min(k, len(later) - 1)] for k in range(steps - 1))][:steps]
        done = self.adapt(tasks, rates, trajectories, rng, fill=fill)
        _, data = self.collect(done.adapted, tasks, trajectories, rng, fill)
        return np.array([r.mean(axis=1) for r in [*done.returns, data.returns]])


class PolicyFOMAML(PolicyMAML):
    """The derivative of theta' by theta is taken as 1."""

    name = "fomaml"
    exact = False


class PolicyANIL(PolicyMAML):
    """Only the last layer and the deviations are adapted (Raghu et al., ICLR 2020)."""

    name = "anil"

    @property
    def mask(self) -> torch.Tensor | float:
        return self.policy.last_layer()


POLICY_TRAINERS: Registry[type[PolicyMAML]] = Registry("policy trainer", "mppi_maml_ros.policy_trainers")
"""What meta-learns policies, by name."""

for _kind in (PolicyMAML, PolicyFOMAML, PolicyANIL):
    POLICY_TRAINERS.register(_kind.name, _kind)
