"""Offers weights to a controller, one offer at a time, and notices when it serves others.

Everything happens in the thread of the node's executor: an answer is a callback like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ..dynamics.residual import ResidualWeights
from ..msg import ControllerStatus
from ..srv import SwapWeights
from . import cdr, qos
from . import conversions as to
from .base import BaseNode
from .weights import weights_message

_UNNOTICED = 1.0  # [s] the controller may report other weights than ours for this long


@attrs.frozen
class SwapAnswer:
    """How an offer ended.

    Attributes:
        installed: the weights serve.
        answered: the controller said so; False where nothing came in time.
        message: why the weights do not serve.
        swap_ms: from the offer to its end.
    """

    installed: bool
    answered: bool
    message: str
    swap_ms: float


@attrs.frozen
class _Offer:
    future: Any
    began: float  # [s], steady
    on_end: Callable[[SwapAnswer], None]


class SwapClient:
    """The side of a controller's ``swap_weights`` that offers.

    Args:
        node: that offers.
        controller: name of the controller's node.
        timeout: longest wait for an answer [s].
        on_restart: the controller serves other weights than those that were installed, which is so
            after it has started anew; what it serves is taken for the kinematic prior.
        on_tracking: takes the tracking error [m] of each period in which the robot is driven.

    Attributes:
        version: of the weights that serve, as the controller counts them.
    """

    def __init__(
        self,
        node: BaseNode,
        controller: str,
        timeout: float,
        on_restart: Callable[[], None],
        on_tracking: Callable[[float], None] | None = None,
    ) -> None:
        self._node, self._timeout = node, timeout
        self._on_restart, self._on_tracking = on_restart, on_tracking
        self.version = 0
        self._offer: _Offer | None = None
        self._differs_since: float | None = None
        self._client = node.client_of(SwapWeights, f"{controller}/swap_weights")
        node.subscribe(ControllerStatus, f"{controller}/status", self._on_status, qos.SENSOR, raw=True)
        node.every(0.1, self._watch)

    @property
    def service(self) -> str:
        """Name of the service."""
        return str(self._client.srv_name)

    @property
    def ready(self) -> bool:
        """Whether the controller is there."""
        return bool(self._client.service_is_ready())

    @property
    def busy(self) -> bool:
        """Whether an offer is under way."""
        return self._offer is not None

    def offer(self, weights: ResidualWeights, on_end: Callable[[SwapAnswer], None]) -> None:
        """Offer weights; ``on_end`` is called once, when the answer came or is given up."""
        message = weights_message(weights, to.to_stamp(self._node.now()))
        began = self._node.steady_now()
        future = self._client.call_async(SwapWeights.Request(weights=message))
        self._offer = _Offer(future, began, on_end)
        future.add_done_callback(self._node.guard(self._on_answer))

    def _on_answer(self, future: Any) -> None:
        if self._offer is None or future is not self._offer.future:
            return
        answer = future.result()
        if answer.success:
            self.version = answer.version
        self._end(self._offer, answer.success, True, f"code {answer.code}: {answer.message}")

    def _watch(self) -> None:
        """Give up on an answer that does not come."""
        if self._offer is None or self._node.steady_now() - self._offer.began <= self._timeout:
            return
        self._client.remove_pending_request(self._offer.future)
        self._end(self._offer, False, False, f"{self.service} did not answer within {self._timeout:g} s")

    def _end(self, offer: _Offer, installed: bool, answered: bool, message: str) -> None:
        self._offer = None
        swap_ms = 1e3 * (self._node.steady_now() - offer.began)
        offer.on_end(SwapAnswer(installed, answered, message, swap_ms))

    def _on_status(self, data: bytes) -> None:
        state, version, error = cdr.controller_status(data)
        if state == ControllerStatus.RUNNING and self._on_tracking is not None:
            self._on_tracking(error)
        if self.busy or version == self.version:
            self._differs_since = None
            return
        steady = self._node.steady_now()
        if self._differs_since is None:
            self._differs_since = steady
        elif steady - self._differs_since > _UNNOTICED:
            self._node.get_logger().warning(
                f"the controller runs version {version} instead of {self.version}: "
                "taken for the kinematic prior"
            )
            self.version, self._differs_since = version, None
            self._on_restart()
