"""The nonsense that is thrown at the nodes: messages, bytes, requests and parameters.

Near what is usual or far from it. Sends nothing.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, Twist
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.serialization import serialize_message
from std_srvs.srv import SetBool, Trigger

from ..dynamics.residual import ResidualWeights
from ..msg import ControllerStatus
from ..msg import ResidualWeights as ResidualWeightsMessage
from ..ros import conversions as to
from ..ros.weights import weights_message
from ..srv import MetaTrain, RandomizeWorld

NASTY = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-320,
    1e-9,
    1e9,
    1e300,
    -1e300,
    math.inf,
    -math.inf,
    math.nan,
    0.5,
    -0.5,
    3.2,
)
TEXTS = (
    "",
    "odom",
    "base_link",
    "map",
    "../../etc/passwd",
    "/abs",
    "a" * 300,
    "\u00e4\u2603",
    "%s%n",
    "-",
    "nan",
)


Request = tuple[str, Any]  # name of a service, and what to ask it
FALSE_MODEL = "fuzzer"  # tells a status of ours from the controller's


def straight(pose: np.ndarray, frame: str, stamp: Time) -> PathMessage:
    """A path that can be driven, from ``pose`` (x [m], y [m], yaw [rad]) on."""
    x = np.linspace(0.0, 3.0, 61)
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    poses = np.column_stack([pose[0] + cos * x, pose[1] + sin * x, np.full_like(x, pose[2])])
    return to.path_message(stamp, frame, poses)


class Nonsense:
    """Random things to say.

    Args:
        random: source of everything that is drawn.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random

    def number(self) -> float:
        """A usual number, or a nasty one."""
        if self.random.random() < 0.5:
            return float(self.random.choice(NASTY))
        return float(self.random.normal() * 10.0 ** self.random.integers(-3, 4))

    def text(self) -> str:
        """A name, or what no name should be."""
        return str(self.random.choice(TEXTS))

    def chance(self, share: float) -> bool:
        """True in so many of all cases."""
        return bool(self.random.random() < share)

    def odometry(self, pose: np.ndarray, frame: str, now: float) -> Odometry:
        """Odometry about ``pose`` (x [m], y [m], yaw [rad]) at ``now`` [s], spoilt here and there."""
        stamp = now
        if self.chance(0.5):
            stamp += float(self.random.choice([-1e9, -5.0, -0.3, -0.05, 0.05, 0.2, 1e6]))
        if self.chance(0.1):
            stamp = 0.0
        message = to.odometry_message(to.to_stamp(stamp), frame, "base_link", np.r_[pose, 0.0, 0.0])
        if self.chance(0.2):
            message.header.frame_id = self.text()
        if self.chance(0.2):
            message.child_frame_id = self.text()
        spoilt, twist = message.pose.pose, message.twist.twist
        targets = [
            (spoilt.position, "xyz"),
            (spoilt.orientation, "xyzw"),
            (twist.linear, "xyz"),
            (twist.angular, "xyz"),
        ]
        for target, axes in targets:
            for axis in axes:
                if self.chance(0.1):
                    setattr(target, axis, self.number())
        if self.chance(0.1):
            message.pose.covariance[:] = self.number()
        return message

    def plan(self, near: np.ndarray, frame: str) -> PathMessage:
        """A path about a pose, with any number of poses, and any times."""
        message = PathMessage()
        message.header.frame_id = frame if self.chance(0.7) else self.text()
        first, step = (float(self.random.choice(times)) for times in ([0.0, 2e9], [0.0, 0.05, 10.0, 1e6]))
        for k in range(int(self.random.choice([0, 1, 2, 10, 500]))):
            pose = PoseStamped()
            pose.header.stamp = to.to_stamp(first + step * (0 if self.chance(0.01) else k))
            pose.header.frame_id = self.text() if self.chance(0.1) else frame
            pose.pose.position.x, pose.pose.position.y = (
                float(near[0] + self.random.normal()),
                self.number() if self.chance(0.1) else float(near[1] + self.random.normal()),
            )
            pose.pose.orientation.w = self.number() if self.chance(0.1) else 1.0
            message.poses.append(pose)
        return message

    def command(self) -> Twist:
        """Any velocities."""
        message = Twist()
        message.linear.x, message.angular.z = self.number(), self.number()
        return message

    def damaged(self, message: Any) -> bytes:
        """A message that was cut off, or of which some bytes are others."""
        data = bytearray(serialize_message(message))
        if self.chance(0.5):
            data = data[: int(self.random.integers(5, len(data)))]
        for _ in range(int(self.random.integers(0, 6))):
            data[int(self.random.integers(4, len(data)))] = int(self.random.integers(256))
        return bytes(data)

    def _weights(self) -> ResidualWeights:
        tau, gain = self.random.uniform(0.05, 0.5, 2), self.random.uniform(0.5, 1.2, 2)
        return ResidualWeights.first_order(
            tuple(tau), tuple(gain), delay=float(self.random.choice([0.0, 0.1]))
        )

    def weights(self, stamp: Time) -> ResidualWeightsMessage:
        """Weights to offer, mostly damaged ones."""
        message = weights_message(self._weights(), stamp)
        if self.chance(0.7):
            data = np.array(message.data)
            for _ in range(int(self.random.integers(0, 4))):
                data[int(self.random.integers(len(data)))] = np.float32(
                    np.clip(self.number(), -1e38, 1e38) if self.chance(0.7) else math.nan
                )
            message.data = data.astype(np.float32)
            if self.chance(0.7):
                message.sha256 = hashlib.sha256(np.asarray(message.data, "<f4").tobytes()).hexdigest()
            if self.chance(0.2):
                message.tensor_rows = [int(value) for value in self.random.integers(0, 2**32, 3)]
            if self.chance(0.2):
                message.tensor_names = [self.text() for _ in range(int(self.random.integers(20)))]
            if self.chance(0.2):
                message.model_dt = self.number()
            if self.chance(0.2):
                message.delay_taps = int(self.random.choice([0, 1, 8, 255]))
            if self.chance(0.1):
                message.activation = self.text()
        return message

    def _value_like(self, value: ParameterValue) -> ParameterValue:
        """Near the present value, or anything at all."""
        near = self.chance(0.4)
        if near and value.type == ParameterType.PARAMETER_DOUBLE:
            factor = float(self.random.uniform(0.7, 1.3))
            return ParameterValue(type=value.type, double_value=value.double_value * factor)
        if near:
            return value
        kind = int(self.random.integers(0, 10))
        return ParameterValue(
            type=kind,
            bool_value=self.chance(0.5),
            # Large, but valid, numbers would only make the computer slow.
            integer_value=int(self.random.choice([-(2**63), -1, 0, 2**62])),
            double_value=float(self.random.choice([math.nan, math.inf, -math.inf, -1e9, 1e300])),
            string_value=self.text(),
            double_array_value=[self.number() for _ in range(int(self.random.integers(5)))],
            integer_array_value=[-1, 0],
            string_array_value=[self.text()],
        )

    def parameters(self, known: dict[str, ParameterValue]) -> list[ParameterMessage]:
        """Some of the known parameters, and now and then another."""
        names = list(known)
        chosen = [str(name) for name in self.random.choice(names, int(self.random.integers(1, 4)))]
        parameters = [ParameterMessage(name=name, value=self._value_like(known[name])) for name in chosen]
        if self.chance(0.1):
            parameters.append(ParameterMessage(name=self.text(), value=ParameterValue(type=1)))
        return [parameter for parameter in parameters if parameter.name != "use_sim_time"]

    def change(self, node: str, known: dict[str, ParameterValue]) -> Request:
        """To set parameters of a node."""
        parameters = self.parameters(known)
        if self.chance(0.5):
            return f"{node}/set_parameters", SetParameters.Request(parameters=parameters)
        return f"{node}/set_parameters_atomically", SetParametersAtomically.Request(parameters=parameters)

    def question(self, node: str) -> Request:
        """To tell about parameters, which there may not be."""
        names = [self.text() for _ in range(int(self.random.integers(4)))]
        if self.chance(0.5):
            return f"{node}/get_parameters", GetParameters.Request(names=names)
        return f"{node}/describe_parameters", DescribeParameters.Request(names=names)

    def service(self) -> Request:
        """For one of the services of controller, adaptation and world."""
        name = str(
            self.random.choice(
                ["mppi_controller/reset", "adaptation/adapt", "adaptation/enable", "dynamic_world/randomize"]
            )
        )
        if name == "adaptation/enable":
            request = SetBool.Request(data=self.chance(0.7))
        elif name == "dynamic_world/randomize":
            request = RandomizeWorld.Request(
                seed=int(self.random.integers(0, 2**63)),
                names=[str(self.random.choice(["mass", "slip", "", "command_delay", "nothing"]))],
                low=[self.number() for _ in range(int(self.random.integers(3)))],
                high=[self.number()],
                reset_pose=self.chance(0.1),
            )
        else:
            request = Trigger.Request()
        return name, request

    def training(self) -> Request:
        """For the meta-trainer; a run may take as long as it likes."""
        if self.chance(0.3):
            return "meta_trainer/cancel", Trigger.Request()
        request = MetaTrain.Request(
            name=self.text() if self.chance(0.7) else "fuzz",
            iterations=int(self.random.choice([0, 1, 2**32 - 1]) if self.chance(0.5) else 1),
            task_batch_size=int(self.random.choice([1, 2**31])),
            support_size=int(self.random.choice([2, 2**31])),
            query_size=2,
            inner_steps=1,
            inner_lr=self.number(),
            meta_lr=self.number(),
            seed=int(self.random.integers(0, 2**63)),
        )
        return "meta_trainer/meta_train", request

    def status(self) -> ControllerStatus:
        """A report that no controller made."""
        message = ControllerStatus(model=FALSE_MODEL, weights_version=int(self.random.integers(0, 2**63)))
        message.state, message.code = int(self.random.integers(256)), int(self.random.integers(256))
        return message
