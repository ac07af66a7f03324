"""Models learned offline: data of each world first, then a network, a residual network and a process.

Each world of each seed is driven for a while before anything is compared: the four figures under the
kinematic controller, and random tracking-like commands, all with the world's own noise under other
seeds. What changes later in a run, these models have not seen.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import ArrayLike

from ...core import artifact
from ...core.errors import ArtifactError, InvalidValueError, MppiMamlError
from ...core.files import write_file
from ...core.types import VelocityLimits
from ...dynamics import gaussian_process
from ...dynamics.features import feature_size, input_size
from ...dynamics.gaussian_process import GPConfig, SparseGP
from ...dynamics.mlp import FitConfig, initial_layers, train
from ...dynamics.residual import ResidualWeights
from ...dynamics.soundness import OUTPUTS
from ...meta.tasks.worlds import transitions_of
from ...mppi.config import MPPIConfig
from ...mppi.rollouts.gaussian_process import GaussianProcessRollout
from ...references.figures import FIGURES
from ...simulation.commands import tracking_commands
from ...simulation.world import World
from ...simulation.worlds import make_world
from ..closed_loop import run

NEURAL, RESIDUAL, PROCESS = "neural", "residual", "gp"
OFFLINE = (NEURAL, RESIDUAL, PROCESS)


@attrs.frozen
class OfflineConfig:
    """What is collected and how it is learned.

    Attributes:
        delay_taps: past commands among the inputs, as the adapters have them.
        model_dt: step [s].
        episode: length of each drive [s]; most worlds change later, if they do.
        random_episodes: drives under random commands, besides one on each figure.
        samples: rollouts of the controller that drives along the figures.
        limits: of the random commands.
        hidden: widths of the networks.
        training: of the networks.
        process: of the Gaussian process.
    """

    delay_taps: int = 4
    model_dt: float = 0.05
    episode: float = 8.0
    random_episodes: int = 8
    samples: int = 256
    limits: VelocityLimits = attrs.field(factory=lambda: VelocityLimits(vx_max=2.0, vx_min=-1.0, wz_max=2.0))
    hidden: tuple[int, ...] = (32, 32)
    training: FitConfig = attrs.field(
        factory=lambda: FitConfig(epochs=60, batch_size=128, learning_rate=3e-3, patience=0)
    )
    process: GPConfig = attrs.field(factory=lambda: GPConfig(inducing=32, subset=200, iterations=40))


@attrs.frozen(eq=False)
class Data:
    """Residual inputs z (M, Z) and kinematic residuals (M, 3) of all drives of one world."""

    inputs: np.ndarray
    residuals: np.ndarray


def collect(world: str, seed: int, noise: float, config: OfflineConfig) -> Data:
    """Drive a named world and keep what its odometry shows.

    Args:
        world, seed, noise: as in :func:`simulation.worlds.make_world`.
    """
    steps = int(round(config.episode / config.model_dt))
    rng = np.random.default_rng([seed, zlib.crc32(world.encode()), 1])
    mppi = MPPIConfig(batch_size=config.samples, time_steps=20, noise_knots=6, model_dt=config.model_dt)
    inputs, residuals = [], []

    def keep(states: np.ndarray, commands: np.ndarray) -> None:
        z, r = transitions_of(states[None], commands[None], config.delay_taps, config.model_dt)
        inputs.append(z[0])
        residuals.append(r[0])

    def another() -> World:
        robot = make_world(world, seed, noise_scale=noise)
        robot.reset(seed=int(rng.integers(1_000_000, 2**31)))
        return robot

    for figure in FIGURES.values():
        recorded = _Recorder(another())
        run(recorded, figure(), mppi, int(rng.integers(2**31)), config.episode)
        keep(np.array(recorded.odometries), np.array(recorded.commands))
    scales = rng.uniform(0.3, 1.0, config.random_episodes)
    for scale in scales:
        robot = another()
        commands = scale * tracking_commands(rng, 1, steps, config.model_dt, config.limits)[0]
        keep(np.array([robot.odometry(), *(robot.step(u, config.model_dt) for u in commands)]), commands)
    return Data(np.concatenate(inputs), np.concatenate(residuals))


class _Recorder:
    """A world that remembers what it was told and what it said."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.odometries: list[np.ndarray] = []
        self.commands: list[np.ndarray] = []

    @property
    def state(self) -> np.ndarray:
        return self._world.state

    @property
    def odometry_age(self) -> float:
        return self._world.odometry_age

    def odometry(self) -> np.ndarray:
        return self._world.odometry()

    def reset(self, start: ArrayLike | None = None) -> np.ndarray:
        self.commands.clear()
        self.odometries[:] = [self._world.reset(start=start)]
        return self.odometries[0]

    def step(self, command: np.ndarray, dt: float) -> np.ndarray:
        self.commands.append(np.array(command))
        self.odometries.append(self._world.step(command, dt))
        return self.odometries[-1]


# -- training -------------------------------------------------------------------------------------


def train_network(data: Data, name: str, config: OfflineConfig) -> ResidualWeights:
    """``neural``: the next velocities by a network alone; ``residual``: by a network on top of kinematics."""
    targets = data.residuals
    linear = np.zeros((OUTPUTS, feature_size(config.delay_taps)))
    if name == NEURAL:
        targets = targets + np.pad(data.inputs[:, 2:4], ((0, 0), (0, 1)))
        linear[0, 2] = linear[1, 3] = -1.0  # takes the prior away again
    elif name != RESIDUAL:
        raise InvalidValueError(f"name must be {NEURAL} or {RESIDUAL}, got {name!r}")
    layers = _fit(data.inputs, targets, config.hidden, config.training)
    return ResidualWeights(
        linear=linear,
        layers=layers,
        input_scale=np.ones(input_size(config.delay_taps)),
        displacement_blend=1.0,
        activation="tanh",
        delay_taps=config.delay_taps,
        model_dt=config.model_dt,
        adapter=name,
    )


def _fit(
    inputs: np.ndarray, targets: np.ndarray, hidden: Sequence[int], config: FitConfig
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Layers from plain inputs to plain targets."""
    mean, std = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-3)
    centre, size = targets.mean(axis=0), np.maximum(targets.std(axis=0), 1e-3)
    start = initial_layers(inputs.shape[1], targets.shape[1], hidden, config.seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the products are small; a second thread only waits
    try:
        fitted, _ = train(
            start,
            "tanh",
            torch.as_tensor((inputs - mean) / std, dtype=torch.float32),
            torch.as_tensor((targets - centre) / size, dtype=torch.float32),
            config,
        )
    finally:
        torch.set_num_threads(threads)
    layers = [(w.numpy().astype(float), b.numpy().astype(float)) for w, b in fitted]
    first, bias = layers[0]
    layers[0] = (first / std, bias - (first / std) @ mean)
    last, bias = layers[-1]
    layers[-1] = (last * size[:, None], bias * size + centre)
    return tuple(layers)


def train_process(data: Data, config: OfflineConfig) -> SparseGP:
    """``gp``: a Gaussian process on top of kinematics."""
    return gaussian_process.fit(data.inputs, data.residuals, config.process)


# -- the library ----------------------------------------------------------------------------------


class Library:
    """Data and models in a folder, made once: ``data/`` and ``models/``, a file a world and seed.

    Args:
        folder: of the results.
        noise: factor on the worlds' process noise.
        config: of what is made.
    """

    def __init__(self, folder: Path, noise: float = 1.0, config: OfflineConfig | None = None) -> None:
        self.folder, self.noise, self.config = Path(folder), noise, config or OfflineConfig()

    def data_path(self, world: str, seed: int) -> Path:
        """Where the data of a world are."""
        return self.folder / "data" / world / f"{seed}.npz"

    def model_path(self, world: str, seed: int) -> Path:
        """Where the models of a world are."""
        return self.folder / "models" / world / f"{seed}{artifact.SUFFIX}"

    @property
    def meta_path(self) -> Path:
        """Where a meta-model that was trained for these results is."""
        return self.folder / "models" / f"meta{artifact.SUFFIX}"

    def data(self, world: str, seed: int) -> Data:
        """From the folder, or collected now."""
        path = self.data_path(world, seed)
        try:
            with np.load(path, allow_pickle=False) as file:
                return Data(file["inputs"].astype(float), file["residuals"].astype(float))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise MppiMamlError(f"{path} cannot be read: {error}") from error
        found = collect(world, seed, self.noise, self.config)
        buffer = io.BytesIO()
        np.savez(buffer, inputs=found.inputs.astype(np.float32), residuals=found.residuals.astype(np.float32))
        write_file(path, buffer.getvalue())
        return self.data(world, seed)

    def has_models(self, world: str, seed: int) -> bool:
        """Whether :meth:`models` need not train."""
        return self.model_path(world, seed).exists()

    def models(self, world: str, seed: int) -> dict[str, ResidualWeights | GaussianProcessRollout]:
        """The three models of a world, from the folder or trained now.

        Raises:
            ArtifactError: the file is damaged.
        """
        path, c = self.model_path(world, seed), self.config
        if not path.exists():
            data = self.data(world, seed)
            tensors = {
                f"{name}.{key}": tensor
                for name in (NEURAL, RESIDUAL)
                for key, tensor in train_network(data, name, c).tensors().items()
            }
            trained = attrs.asdict(train_process(data, c))
            tensors |= {f"{PROCESS}.{key}": np.asarray(value) for key, value in trained.items()}
            artifact.save(path, tensors, {"kind": "offline models", "delay_taps": c.delay_taps})
        tensors, manifest = artifact.load(path)
        if manifest.get("delay_taps") != c.delay_taps:
            raise ArtifactError(f"{path} is of other delay taps than {c.delay_taps}")
        parts: dict[str, dict] = {name: {} for name in OFFLINE}
        for key, tensor in tensors.items():
            name, _, rest = key.partition(".")
            parts.setdefault(name, {})[rest] = tensor
        shared: dict[str, Any] = {"activation": "tanh", "delay_taps": c.delay_taps, "model_dt": c.model_dt}
        try:
            process = SparseGP(**{k: np.asarray(v, dtype=float) for k, v in parts[PROCESS].items()})
        except TypeError as error:
            raise ArtifactError(f"{path} is not usable: {error}") from error
        networks = {
            name: ResidualWeights.from_tensors(parts[name], adapter=name, **shared)
            for name in (NEURAL, RESIDUAL)
        }
        return {**networks, PROCESS: GaussianProcessRollout(process, c.delay_taps)}
