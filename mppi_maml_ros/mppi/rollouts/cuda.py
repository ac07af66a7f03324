"""The rollout of :mod:`.compiled` in torch, for CUDA: one captured graph for each shape of network.

What commands contribute is known before the robot moves, so one batched product does it for all steps;
only the twist goes round from step to step, and the poses are cumulative sums of what is left.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable

import attrs
import numpy as np
import torch

from ...core.angles import TWO_PI
from ...core.errors import InvalidValueError
from ...core.kernels.simd import GROUP
from ...dynamics.acceleration import TURNING
from ...dynamics.features import SOFT_SIGN_OMEGA, SOFT_SIGN_V, input_size
from ...dynamics.residual import ResidualWeights
from .base import Model, RolloutRequest
from .compiled import CompiledRollout

_capturing = threading.Lock()  # CUDA takes one graph at a time


@attrs.frozen
class _Shape:
    """What a program is made for."""

    steps: int
    samples: int
    taps: int
    late: tuple[int, int]
    hidden: tuple[int, ...]
    activation: str

    @property
    def history(self) -> int:
        return self.taps + max(self.late)


class TorchRollout:
    """As :class:`.compiled.CompiledRollout`, within single precision; other devices than CUDA take no graph.

    What has no network stays with the compiled code, and so does a network of a new shape until its
    program is made by a thread of its own; for good, with a warning, where that fails.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        InvalidValueError: there is no such device.
    """

    def __init__(self, device: str) -> None:
        try:
            self.device = torch.device(device)
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidValueError(
                f"device must be cpu, cuda or cuda:N and be there, got {device!r}: {reason}"
            ) from error
        self._compiled = CompiledRollout()
        self._programs: dict[_Shape, _Program | None] = {}  # None: could not be made
        self._making: threading.Thread | None = None

    def __call__(self, model: Model, request: RolloutRequest) -> None:
        """See :class:`.base.Rollout`."""
        if isinstance(model, ResidualWeights) and model.layers and not model.is_prior:
            steps, _, samples = request.commands.shape
            shape = _shape(model, steps, samples)
            program = self._programs.get(shape)
            if program is not None:
                if request.jury is not None:
                    request.kept()
                program.run(model, request)
                if request.jury is not None and request.out is not None:
                    request.jury.judge(request.out.poses, request.commands, request.costs)
                return
            if shape not in self._programs:
                self._make_aside(shape)
        self._compiled(model, request)

    def prepare(self, model: Model, time_steps: int, batch_size: int) -> None:
        """See :class:`.base.Rollout`."""
        if isinstance(model, ResidualWeights) and model.layers:
            # The compiled code serves when networks of another shape come.
            self._compiled(model, RolloutRequest(np.zeros((1, 2, GROUP), np.float32), model.model_dt))
            self._make(_shape(model, time_steps, batch_size))

    def _make(self, shape: _Shape) -> None:
        with _capturing:
            if shape not in self._programs:
                self._programs[shape] = _Program(shape, self.device)

    def _make_aside(self, shape: _Shape) -> None:
        if self._making is not None and self._making.is_alive():
            return

        def make() -> None:
            try:
                self._make(shape)
            except RuntimeError as error:
                self._programs[shape] = None
                warnings.warn(f"networks of {shape} stay on the processor: {error}", stacklevel=1)

        self._making = threading.Thread(target=make, name="rollout program", daemon=True)
        self._making.start()


def _shape(weights: ResidualWeights, steps: int, samples: int) -> _Shape:
    hidden = tuple(len(bias) for _, bias in weights.layers[:-1])
    return _Shape(steps, samples, weights.delay_taps, weights.transport_delay, hidden, weights.activation)


class _Program:
    """The rollout of one shape in buffers that never move."""

    def __init__(self, shape: _Shape, device: torch.device) -> None:
        self._shape, self._device = shape, device
        self._weights: ResidualWeights | None = None
        steps, samples, past = shape.steps, shape.samples, max(shape.history, 1)
        n, z = steps, input_size(shape.taps)
        self._commands = self._pair(n, 2, samples)
        # All that is small travels in one piece: its parts are views.
        parts = {
            "twist": (2, 1), "change": (2, 1), "momentum": (2, 1), "limits": (4, 1), "past": (past, 2, 1),
            "scalars": (2,), "push": (n, 2, 1), "target": (n, 3, 1), "weight": (n, 2, 1),
        }  # fmt: skip
        self._situation = self._pair(sum(int(np.prod(part)) for part in parts.values()))
        self._host, self._on_device = (_views(buffer, parts) for buffer in self._situation)
        widths = (z, *shape.hidden, 3)
        matrices: dict[str, tuple[int, ...]] = {"linear": (3, z + 4)}
        for i, (width, wider) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            matrices |= {f"w{i}": (wider, width), f"b{i}": (wider, 1)}
        self._network = self._pair(sum(int(np.prod(part)) for part in matrices.values()))
        self._host_network, self._matrices = (_views(buffer, matrices) for buffer in self._network)
        sharpness = [[1.0 / SOFT_SIGN_V], [1.0 / SOFT_SIGN_OMEGA]]
        self._sharpness = torch.tensor(sharpness, device=device)
        self._costs = self._pair(samples)
        self._poses = self._pair(5, n, samples)
        self._go = self._captured() if device.type == "cuda" else self._compute

    def _pair(self, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
        """A buffer here, and its counterpart on the device."""
        host = torch.zeros(shape, pin_memory=self._device.type == "cuda")
        return host, torch.zeros(shape, device=self._device)

    def _captured(self) -> Callable[[], None]:
        stream = torch.cuda.Stream(self._device)
        with torch.cuda.device(self._device), torch.cuda.stream(stream):
            for _ in range(3):
                self._compute()
            stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._compute()
        return graph.replay

    def run(self, weights: ResidualWeights, request: RolloutRequest) -> None:
        """See :class:`.base.Rollout`."""
        if weights is not self._weights:
            self._install(weights)
        host, tracking, out = self._host, request.tracking, request.out
        host["twist"][:] = torch.as_tensor(np.asarray(request.state[3:5], dtype=np.float32))[:, None]
        host["change"][:] = torch.as_tensor(request.change)[:, None]
        host["momentum"][:] = torch.tensor(weights.momentum)[:, None]
        limits = weights.acceleration.ravel() * np.float32(weights.model_dt)
        host["limits"][:] = torch.tensor(limits)[:, None]
        if self._shape.history:
            host["past"][:] = torch.as_tensor(request.history[: self._shape.history])[..., None]
        host["push"][:] = torch.as_tensor(request.push)[..., None]
        if tracking is not None:
            host["target"][:] = torch.as_tensor(tracking.target)[..., None]
            host["weight"][:] = torch.as_tensor(tracking.weight)[..., None]
        host["scalars"][0], host["scalars"][1] = request.model_dt, weights.displacement_blend
        self._commands[0].copy_(torch.as_tensor(request.commands))
        with torch.inference_mode():
            for here, there in (self._situation, self._commands):
                there.copy_(here, non_blocking=True)
            self._go()
            if tracking is not None:
                self._costs[0].copy_(self._costs[1], non_blocking=True)
            if out is not None:
                self._poses[0].copy_(self._poses[1], non_blocking=True)
            if self._device.type == "cuda":
                torch.cuda.current_stream(self._device).synchronize()
        if tracking is not None:
            request.costs += self._costs[0].numpy()
        if out is not None:
            for name, values in zip(("x", "y", "yaw", "v", "omega"), self._poses[0].numpy(), strict=True):
                getattr(out, name)[:] = values

    def _install(self, weights: ResidualWeights) -> None:
        host = self._host_network
        host["linear"].copy_(torch.tensor(weights.linear))
        scale: np.ndarray | np.float32 = weights.input_scale
        for i, (matrix, bias) in enumerate(weights.layers):
            host[f"w{i}"].copy_(torch.tensor(matrix * scale))
            host[f"b{i}"].copy_(torch.tensor(bias)[:, None])
            scale = np.float32(1.0)
        self._network[1].copy_(self._network[0])
        self._weights = weights

    @torch.inference_mode()
    def _compute(self) -> None:
        shape, m, s = self._shape, self._matrices, self._on_device
        n, z, commands = shape.steps, input_size(shape.taps), self._commands[1]
        dt, blend = s["scalars"][0], s["scalars"][1]
        activate = torch.tanh_ if shape.activation == "tanh" else torch.relu_
        past = s["past"][: shape.history].flip(0).expand(-1, -1, shape.samples)
        issued = torch.cat([past, commands])
        from_v, from_omega = (max(shape.late) - late for late in shape.late)
        length = n + shape.taps
        course = torch.stack(
            [issued[from_v : from_v + length, 0], issued[from_omega : from_omega + length, 1]], dim=1
        )
        commands = course[shape.taps :]
        # Rows: u0, u1, ... of each step, newest first.
        inputs = torch.cat(
            [course[shape.taps - k : shape.taps - k + n] for k in range(shape.taps + 1)], dim=1
        )
        hidden = torch.baddbmm(m["b0"], m["w0"][:, 2:].expand(n, -1, -1), inputs)
        last = len(shape.hidden)
        constant = m["linear"][:, z, None] + m[f"b{last}"]
        direct = torch.baddbmm(constant, m["linear"][:, 2:z].expand(n, -1, -1), inputs)
        direct[:, :2] += commands + s["push"]
        by_twist, features = m["w0"][:, :2], torch.cat([m["linear"][:, :2], m["linear"][:, z + 1 :]], dim=1)
        twist, change = s["twist"].expand(-1, shape.samples), s["change"].expand(-1, shape.samples)
        steps = []
        down = s["limits"][2:]
        more = s["limits"][:2] - down
        for t in range(n):
            state = activate(torch.addmm(hidden[t], by_twist, twist))
            for i in range(1, last):
                state = activate(torch.addmm(m[f"b{i}"], m[f"w{i}"], state))
            steep = twist * self._sharpness
            phi = torch.cat([twist, twist[:1] * twist[1:], steep * torch.rsqrt(1.0 + steep * steep)])
            end = torch.addmm(torch.addmm(direct[t], features, phi), m[f"w{last}"], state)
            end[:2] += s["momentum"] * change
            off = twist * (1.0 / TURNING)
            upper = twist + down + more * torch.clamp(1.0 + off, 0.0, 1.0)
            lower = twist - down - more * torch.clamp(1.0 - off, 0.0, 1.0)
            end[:2] = torch.minimum(torch.maximum(end[:2], lower), upper)
            steps.append(end)
            twist, change = end[:2], end[:2] - twist
        ends = torch.stack(steps)
        before = torch.cat([s["twist"].expand(1, -1, shape.samples), ends[:-1, :2]])
        mean = commands + blend * (0.5 * (before + ends[:, :2]) - commands)
        turn, forward, lateral = mean[:, 1] * dt, mean[:, 0] * dt, ends[:, 2] * dt
        yaw = turn.cumsum(0)
        middle = yaw - 0.5 * turn
        cos, sin = torch.cos(middle), torch.sin(middle)
        x = (cos * forward - sin * lateral).cumsum(0)
        y = (sin * forward + cos * lateral).cumsum(0)
        torch.stack([x, y, yaw, ends[:, 0], ends[:, 1]], out=self._poses[1])
        target, weight = s["target"], s["weight"]
        off = yaw - target[:, 2]
        off = off - TWO_PI * torch.round(off * (1.0 / TWO_PI))
        squares = (x - target[:, 0]) ** 2 + (y - target[:, 1]) ** 2
        torch.sum(weight[:, 0] * squares + weight[:, 1] * off**2, dim=0, out=self._costs[1])


def _views(buffer: torch.Tensor, parts: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Consecutive parts of a flat buffer, by name."""
    sizes = [int(np.prod(part)) for part in parts.values()]
    pieces = torch.split(buffer, sizes)
    return {name: piece.view(part) for (name, part), piece in zip(parts.items(), pieces, strict=True)}
