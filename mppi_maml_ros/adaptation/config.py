"""Settings of the adaptation loop."""

from __future__ import annotations

from functools import partial

import attrs

from ..core.errors import InvalidValueError
from ..core.tunable import tunable
from ..core.types import VelocityLimits
from ..safety.twist_source import SOURCES
from .adapters import ADAPTERS
from .guard import GuardConfig
from .sgd import SGDConfig

_setting = partial(tunable, dynamic=False)


@attrs.frozen
class OnlineConfig:
    """Settings of the adaptation loop.

    Attributes:
        adapter: a name in adaptation.adapters.ADAPTERS, to which others may be added.
        warmup_samples: usable transitions before the first attempt.
        min_samples: usable transitions that an attempt needs after a change emptied the buffer.
        meta_samples: usable transitions that theta* itself is judged by before the warm-up, to serve until
            it can be adapted; 0: neither it ever serves as it is, nor a robot of the bank.
        growth: share by which the data have to grow for an attempt before ``adapt_interval`` has passed.
        buffer_size: transitions kept.
        twist_source: as the controller's; see :class:`..safety.twist_source.TwistSource`.
        adapt_interval: longest time between two attempts [s]; with many data, each tells as good as nothing.
        min_adapt_interval: shortest, which few data bring about: at the start and after a change [s].
        sgd: inner loop.
        guard: acceptance test.
        limits: command limits of the robot, None when unknown.
    """

    adapter: str = _setting(
        "physics+maml", description="How weights are made from data", choices=lambda: ADAPTERS
    )
    warmup_samples: int = _setting(6, 4, 100_000, "Transitions before the first attempt")
    min_samples: int = _setting(6, 4, 100_000, "Transitions kept, and enough, after a change")
    meta_samples: int = _setting(
        2, 0, 100_000, "Transitions that theta* is judged by, to serve before the warm-up; 0: never"
    )
    growth: float = _setting(
        0.1, 0.05, 100.0, "Share by which the data have to grow for an attempt before adapt_interval"
    )
    buffer_size: int = _setting(200, 8, 100_000, "Transitions kept; older ones fall out")
    adapt_interval: float = _setting(0.5, 0.1, 3600.0, "Longest time between two attempts", "s")
    min_adapt_interval: float = _setting(
        0.1, 0.02, 3600.0, "Shortest time between two attempts, while the data are few", "s"
    )
    twist_source: str = _setting(
        "auto",
        description="Twist to learn from: odom's, the pose's own rate, or that where odom contradicts it",
        choices=SOURCES,
    )
    sgd: SGDConfig = attrs.field(factory=SGDConfig)
    guard: GuardConfig = attrs.field(factory=GuardConfig)
    limits: VelocityLimits | None = None

    def __attrs_post_init__(self) -> None:
        if self.min_adapt_interval > self.adapt_interval:
            raise InvalidValueError(
                f"min_adapt_interval must be at most adapt_interval, got {self.min_adapt_interval}"
            )
        if self.warmup_samples > self.buffer_size:
            raise InvalidValueError(f"warmup_samples must be at most buffer_size, got {self.warmup_samples}")
        if self.meta_samples > self.warmup_samples:
            raise InvalidValueError(f"meta_samples must be at most warmup_samples, got {self.meta_samples}")
        if self.min_samples > self.warmup_samples:
            raise InvalidValueError(f"min_samples must be at most warmup_samples, got {self.min_samples}")
