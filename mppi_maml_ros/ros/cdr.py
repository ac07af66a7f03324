"""Numbers straight out of serialised messages: what comes often is not made into Python objects first.

Each function reads what a raw subscription yields. The layout is that of plain CDR (OMG, DDS-XTypes 1.3,
7.4.1), little-endian; anything else takes the way of the message's class, which also says what is wrong
with bytes that are no message.
"""

from __future__ import annotations

import struct
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message

from ..core.types import OdometryMessage
from ..msg import ControllerStatus
from . import conversions as to

_LITTLE = b"\x00\x01"
_STAMP, _LENGTH, _VERSION = struct.Struct("<iI"), struct.Struct("<I"), struct.Struct("<Q")
_POSE, _TWIST, _ERROR = struct.Struct("<7d"), struct.Struct("<6d"), struct.Struct("<d")
_BETWEEN = _VERSION.size + _TWIST.size + _POSE.size  # from weights_version to tracking_error
_BODY, _COVARIANCE = 4, 36 * 8  # what is before the body, and how long a covariance is [bytes]


def _message(data: bytes, kind: type) -> Any:
    return deserialize_message(bytes(data), kind)


def _aligned(place: int, size: int) -> int:
    return place + (_BODY - place) % size


def _string(data: bytes, place: int) -> tuple[str, int]:
    """The string that begins at the next place of a length, and where it ends."""
    place = _aligned(place, 4)
    end = place + 4 + _LENGTH.unpack_from(data, place)[0]
    if end > len(data):
        raise struct.error("a string is longer than its message")
    return data[place + 4 : end - 1].decode(), end


def odometry(data: bytes) -> OdometryMessage:
    """A nav_msgs/Odometry as the checks take it."""
    if data[:2] == _LITTLE:
        try:
            sec, nanosec = _STAMP.unpack_from(data, _BODY)
            frame, place = _string(data, _BODY + 8)
            child, place = _string(data, place)
            place = _aligned(place, 8)
            px, py, pz, qx, qy, qz, qw = _POSE.unpack_from(data, place)
            place += _POSE.size + _COVARIANCE
            vx, vy, vz, wx, wy, wz = _TWIST.unpack_from(data, place)
            if place + _TWIST.size + _COVARIANCE > len(data):
                raise struct.error("the last covariance is cut off")
        except (struct.error, UnicodeDecodeError):
            pass
        else:
            return OdometryMessage(
                frame, child, sec + 1e-9 * nanosec,
                (px, py, pz), (qx, qy, qz, qw), (vx, vy, vz), (wx, wy, wz),
            )  # fmt: skip
    return to.read_odometry(_message(data, Odometry))


def twist(data: bytes) -> tuple[float, float]:
    """(v [m/s], omega [rad/s]) of a geometry_msgs/Twist."""
    if data[:2] == _LITTLE and len(data) >= _BODY + _TWIST.size:
        v, _, _, _, _, omega = _TWIST.unpack_from(data, _BODY)
        return v, omega
    return to.command_of(_message(data, Twist))


def stamped_twist(data: bytes) -> tuple[float, tuple[float, float]]:
    """Stamp [s] and (v [m/s], omega [rad/s]) of a geometry_msgs/TwistStamped."""
    if data[:2] == _LITTLE:
        try:
            sec, nanosec = _STAMP.unpack_from(data, _BODY)
            _, place = _string(data, _BODY + 8)
            v, _, _, _, _, omega = _TWIST.unpack_from(data, _aligned(place, 8))
        except (struct.error, UnicodeDecodeError):
            pass
        else:
            return sec + 1e-9 * nanosec, (v, omega)
    message = _message(data, TwistStamped)
    return to.seconds(message.header.stamp), to.command_of(message)


def controller_status(data: bytes) -> tuple[int, int, float]:
    """``state``, ``weights_version`` and ``tracking_error`` of a ControllerStatus."""
    if data[:2] == _LITTLE:
        try:
            _, place = _string(data, _BODY + 8)
            state = data[place]
            _, place = _string(data, place + 2)  # after state and code
            _, place = _string(data, place)
            place = _aligned(place, 8)
            version = int(_VERSION.unpack_from(data, place)[0])
            error = float(_ERROR.unpack_from(data, place + _BETWEEN)[0])
        except (struct.error, UnicodeDecodeError, IndexError):
            pass
        else:
            return state, version, error
    message = _message(data, ControllerStatus)
    return message.state, message.weights_version, message.tracking_error
