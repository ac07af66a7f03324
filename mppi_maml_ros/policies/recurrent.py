"""RL² (Duan et al., arXiv:1611.02779): a recurrent policy whose state does the learning.

A trial is several episodes of one task. The policy sees observation, last observation with last action, the
same times last reward, and whether an episode has just ended, and keeps its state from one episode to the
next. Trained by PPO (Schulman et al., arXiv:1707.06347) in place of the paper's TRPO. Where tasks have known
solutions, what actions lose in the mean may stand in the gradient for rewards, that of the step itself
summed over all actions: this leaves the gradient's mean and takes away the luck.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import attrs
import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from ..core.errors import InvalidValueError
from ..core.tunable import tunable
from ..meta.gradients.outer import Adam, Parameters
from .environments.base import Environment, Solved
from .heads import Categorical, Gaussian, Head
from .maml import Counted
from .sampling import discounted

REMEMBERED = 100.0  # steps, by the network as it is first
SIGNALS = ("reward", "regret")  # the latter of a Solved environment

_setting = partial(tunable, dynamic=False)
Numbers = Sequence[np.ndarray]


@attrs.frozen
class RecurrentConfig:
    """Settings of RL²; ranges are checked.

    Attributes:
        hidden: width of the GRU.
        episodes: of a trial.
        iterations, task_batch_size: outer iterations, and trials in each, one a task.
        meta_lr: of Adam; it falls linearly to 0.
        epochs, minibatches: of PPO on each batch.
        clip: how far the likelihood ratio counts.
        entropy, value: weights of the entropy and of the value's error; a value is a mean of rewards.
        discount, gae: gamma and lambda of the advantages, over a whole trial.
        max_gradient_norm: of an update.
        signal: what is learned from; the policy always sees rewards.
        evaluate_every, patience, seed: as in PolicyConfig.

    Raises:
        InvalidValueError: a value is out of range; the message names it.
    """

    hidden: int = _setting(64, 1, 1024, "Width of the GRU")
    episodes: int = _setting(1, 1, 10_000, "Of a trial")
    iterations: int = _setting(500, 1, 1_000_000, "Outer iterations")
    task_batch_size: int = _setting(512, 1, 100_000, "Trials an iteration")
    meta_lr: float = _setting(1e-2, 1e-9, 1.0, "Learning rate, falling to 0")
    epochs: int = _setting(4, 1, 100, "Of PPO on each batch")
    minibatches: int = _setting(2, 1, 100, "Of each epoch")
    clip: float = _setting(0.2, 1e-3, 10.0, "How far the likelihood ratio counts")
    entropy: float = _setting(0.0, 0.0, 10.0, "Weight of the entropy, falling to 0")
    value: float = _setting(10.0, 0.0, 1000.0, "Weight of the value's error")
    discount: float = _setting(0.99, 0.0, 1.0, "gamma of the advantages")
    gae: float = _setting(0.3, 0.0, 1.0, "lambda of the advantages")
    max_gradient_norm: float = _setting(5.0, 1e-9, 1e9, "Of an update")
    signal: str = _setting("reward", description="What is learned from", choices=SIGNALS)
    evaluate_every: int = _setting(100, 1, 1_000_000, "Iterations between evaluations on held-out tasks")
    patience: int = _setting(0, 0, 1_000_000, "Evaluations without a new best that end a run; 0: none do")
    seed: int = _setting(0, 0, 2**63 - 1, "Seed of tasks, initial weights and sampling")


class Tabular(nn.Module):
    """For discrete states: a GRU with heads of logits and value for each of them, weighed by the observation.

    Args:
        observations, actions: O and A; the last observation is seen with the action and its reward.
    """

    def __init__(self, observations: int, actions: int, hidden: int) -> None:
        super().__init__()
        self.observations, self.actions = observations, actions
        self.memory = nn.GRU(observations * (2 * actions + 1) + 1, hidden, batch_first=True)
        self.heads = nn.Linear(hidden, observations * (actions + 1))
        with torch.no_grad():  # units remember for 1 to so many steps (Tallec and Ollivier, ICLR 2018)
            spans = torch.rand(hidden) * (REMEMBERED - 1.0) + 1.0
            self.memory.get_parameter("bias_ih_l0")[hidden : 2 * hidden] = spans.log()
            self.memory.get_parameter("weight_ih_l0")[2 * hidden :].normal_()
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.heads.bias)

    def forward(self, inputs: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        """Inputs (B, H, inputs), state (1, B, hidden) to logits (B, H, actions), values (B, H), and state."""
        seen, state = self.memory(inputs, state)
        heads = self.heads(seen).unflatten(2, (self.observations, self.actions + 1))
        out = (inputs[..., : self.observations, None] * heads).sum(dim=2)
        return out[..., :-1], out[..., -1], state

    def tell(self, now: np.ndarray, seen: np.ndarray, chosen: np.ndarray, reward: np.ndarray) -> None:
        """Write into inputs (B, inputs) of zeros what was seen (B, O), chosen (B, 1) and paid (B,)."""
        last = now[:, self.observations : -1].reshape(len(now), 2, self.observations, self.actions)  # a view
        last[np.arange(len(now)), 0, :, chosen[:, 0].astype(np.intp)] = seen
        last[:, 1] = reward[:, None, None] * last[:, 0]


class Continuous(nn.Module):
    """For vectors: a GRU with heads of the action's mean and of the value, and a deviation of its own.

    Args:
        observations, actions: O and A; seen are the observation, the last action, its reward, and the end.
    """

    def __init__(self, observations: int, actions: int, hidden: int) -> None:
        super().__init__()
        self.observations = observations
        self.memory = nn.GRU(observations + actions + 2, hidden, batch_first=True)
        self.logits, self.value = nn.Linear(hidden, actions), nn.Linear(hidden, 1)
        self.spread = nn.Parameter(torch.zeros(actions))
        for layer in (self.logits, self.value):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, inputs: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        """As of :class:`Tabular`."""
        seen, state = self.memory(inputs, state)
        return self.logits(seen), self.value(seen)[..., 0], state

    def tell(self, now: np.ndarray, seen: np.ndarray, chosen: np.ndarray, reward: np.ndarray) -> None:
        """As of :class:`Tabular`; the action is chosen (B, A)."""
        now[:, self.observations : -2], now[:, -2] = chosen, reward


@attrs.frozen(eq=False)
class Trials:
    """What a batch of trials was: inputs (B, H, inputs), actions (B, H, A), and the rest (B, H).

    Attributes:
        regrets: what each action would have lost, (B, H, actions); None where rewards are learned from.
        expected: minus what the policy loses in the mean.
    """

    inputs: torch.Tensor
    actions: torch.Tensor
    log_probs: torch.Tensor
    values: torch.Tensor
    rewards: np.ndarray
    regrets: torch.Tensor | None = None
    expected: torch.Tensor | None = None

    @property
    def signal(self) -> np.ndarray:
        """What is learned from, (B, H): rewards, or minus what the actions lost."""
        if self.regrets is None:
            return self.rewards
        return -self.regrets.gather(2, self.actions.long())[..., 0].numpy()

    def of(self, rows: torch.Tensor) -> Trials:
        """Some trials."""
        of_all = (self.inputs, self.actions, self.log_probs, self.values)
        inputs, actions, log_probs, values = (part[rows] for part in of_all)
        regrets, expected = (None if p is None else p[rows] for p in (self.regrets, self.expected))
        return Trials(inputs, actions, log_probs, values, self.rewards[rows.numpy()], regrets, expected)


class RL2:
    """Meta-learns a recurrent policy; what :func:`..meta.loop.run` trains.

    Args:
        config: settings.
        environment: whose episodes all last to the horizon.

    Raises:
        InvalidValueError: it has to learn from regret, and the environment does not know it.
    """

    name = "rl2"

    def __init__(self, config: RecurrentConfig, environment: Environment) -> None:
        if config.signal == "regret" and not hasattr(environment, "regrets"):
            raise InvalidValueError("signal must be reward where tasks have no known solutions, got regret")
        self.config, self.environment = config, environment
        e = environment
        self.head: Head = Categorical(e.actions) if e.discrete else Gaussian(e.actions)
        generator_state = torch.get_rng_state()
        torch.manual_seed(config.seed)
        network: type[Tabular | Continuous] = Tabular if e.discrete else Continuous
        self._net = network(e.observations, e.actions, config.hidden)
        torch.set_rng_state(generator_state)
        values = {name: p.detach() for name, p in self._net.named_parameters()}
        self.parameters = Parameters(values)
        self.optimiser = Counted(
            Adam(self.parameters.flat, config.meta_lr, config.iterations * config.epochs * config.minibatches)
        )
        self.interrupt: Callable[[], None] = lambda: None

    @property
    def env_steps(self) -> int:
        """Steps taken by environments in training."""
        return self.optimiser.env_steps

    def _forward(
        self, flat: torch.Tensor, inputs: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        return functional_call(self._net, self.parameters.views(flat), (inputs, state))

    def _extra(self, flat: torch.Tensor) -> torch.Tensor:
        """What of the distribution no input changes, (1, 1, E)."""
        return self.parameters.views(flat).get("spread", flat[:0])[None, None]

    @torch.no_grad()
    def trials(self, tasks: np.ndarray, rng: np.random.Generator, episodes: int | None = None) -> Trials:
        """One trial of each task (T, D)."""
        e, count = self.environment, len(tasks)
        horizon = e.horizon * (self.config.episodes if episodes is None else episodes)
        inputs = torch.zeros(count, horizon, self._net.memory.input_size)
        actions = torch.zeros(count, horizon, 1 if e.discrete else e.actions)
        log_probs, values = torch.zeros(count, horizon), torch.zeros(count, horizon)
        extra = self._extra(self.parameters.flat)
        rewards = np.zeros((count, horizon), dtype=np.float32)
        told = self.config.signal == "regret"
        regrets = torch.zeros(count, horizon, e.actions) if told else None
        expected = torch.zeros(count, horizon) if told else None
        now, state = np.zeros((count, inputs.shape[2]), dtype=np.float32), None
        seen = e.reset(tasks, 1, rng)[:, 0]
        for step in range(horizon):
            if step % e.horizon == 0 and step:
                self.interrupt()
                seen = e.reset(tasks, 1, rng)[:, 0]
                now[:, -1] = 1.0
            now[:, : e.observations] = seen
            inputs[:, step] = torch.from_numpy(now)
            logits, value, state = self._forward(self.parameters.flat, inputs[:, step : step + 1], state)
            noise = torch.from_numpy(self.head.noise(rng, (count, 1)))
            chosen = self.head.act(logits, extra, noise)
            actions[:, step], values[:, step] = chosen[:, 0], value[:, 0]
            log_probs[:, step] = self.head.log_prob(logits, extra, chosen)[:, 0]
            if regrets is not None and expected is not None:
                regrets[:, step] = torch.from_numpy(cast(Solved, e).regrets()[:, 0].astype(np.float32))
                expected[:, step] = -(logits[:, 0].softmax(dim=1) * regrets[:, step]).sum(dim=1)
            after, reward, _ = e.step(chosen.numpy())
            now = np.zeros_like(now)
            self._net.tell(now, seen, chosen[:, 0].numpy(), reward[:, 0])
            seen, rewards[:, step] = after[:, 0], reward[:, 0]
        return Trials(inputs, actions, log_probs, values, rewards, regrets, expected)

    def loss(
        self, flat: torch.Tensor, data: Trials, gain: torch.Tensor, target: torch.Tensor, entropy: float
    ) -> torch.Tensor:
        """PPO's, of trials with advantages and values to be learned (B, H), regrets scaled as advantages."""
        c = self.config
        logits, values, _ = self._forward(flat, data.inputs)
        extra = self._extra(flat)
        ratio = (self.head.log_prob(logits, extra, data.actions) - data.log_probs).exp()
        held = torch.minimum(ratio * gain, ratio.clamp(1.0 - c.clip, 1.0 + c.clip) * gain)
        if data.regrets is not None:
            held = held - (logits.softmax(dim=2) * data.regrets).sum(dim=2)
        spread = self.head.entropy(logits, extra).mean()
        return -held.mean() + c.value * (values - target).square().mean() - entropy * spread

    def step(self, support: Numbers, query: Numbers) -> tuple[float, float]:
        """One outer iteration on tasks (T, D) with seeds (T,); twice minus the mean return of a trial."""
        c, rng = self.config, np.random.default_rng(np.asarray(query[0]))
        data = self.trials(support[0], rng)
        values, signal = data.values.numpy(), data.signal
        following = np.concatenate([values[:, 1:], np.zeros_like(values[:, :1])], axis=1)
        scale = (
            c.discount ** np.arange(values.shape[1])
        ).sum()  # else long trials' values drown the policy's
        raw = discounted(signal / scale + c.discount * following - values, c.discount * c.gae)
        target = torch.from_numpy((raw + values).astype(np.float32))
        spread = raw.std() + 1e-8
        if data.regrets is not None and data.expected is not None:
            raw = raw + (data.expected.numpy() - signal) / scale  # the step itself comes with all its actions
            data = attrs.evolve(data, regrets=data.regrets / (scale * spread))
        gain = torch.from_numpy(((raw - raw.mean()) / spread).astype(np.float32))
        adam = self.optimiser.inner
        assert isinstance(adam, Adam)
        entropy = c.entropy * adam.rate / c.meta_lr
        for _ in range(c.epochs):
            for part in np.array_split(rng.permutation(len(gain)), c.minibatches):
                self.interrupt()
                rows = torch.from_numpy(part)
                some = data.of(rows)
                flat = self.parameters.flat.detach().requires_grad_()
                with torch.enable_grad():
                    (slope,) = torch.autograd.grad(
                        self.loss(flat, some, gain[rows], target[rows], entropy), flat
                    )
                slope = slope * torch.clamp(c.max_gradient_norm / (slope.norm() + 1e-12), max=1.0)
                adam.step(slope)
        self.optimiser.env_steps += data.rewards.size
        result = -float(data.rewards.sum(axis=1).mean())
        return result, result

    def losses(self, support: Numbers, query: Numbers) -> torch.Tensor:
        """Minus the return of each task's trial, twice, (2, T)."""
        rng = np.random.default_rng(np.asarray(query[0]))
        returns = self.trials(support[0], rng).rewards.sum(axis=1)
        return -torch.from_numpy(np.stack([returns, returns]))
