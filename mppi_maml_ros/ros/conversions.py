"""Between messages and the plain numbers that the rest of the package works with."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Twist, TwistStamped, Vector3
from nav_msgs.msg import OccupancyGrid, Odometry, Path
from rclpy.clock import Clock
from rclpy.serialization import deserialize_message
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ..core.angles import quaternion_from_yaw, yaw_from_quaternion
from ..core.errors import InvalidPathError, InvalidValueError
from ..core.types import OdometryMessage
from ..mppi.costmap import Costmap

MAX_IRREGULAR_POSES = 10_000  # poses of a path that can only be read one by one

_HEADER = np.dtype(
    [("sec", "<i4"), ("nanosec", "<u4"), ("length", "<u4")]
)  # of a pose, as far as the frame id

_Numbers = Sequence[float] | np.ndarray


def seconds(stamp: Time | Duration) -> float:
    """A stamp, or a duration, in seconds."""
    return stamp.sec + 1e-9 * stamp.nanosec


def to_stamp(time_: float) -> Time:
    """Seconds as a stamp; what is before zero is zero."""
    nanoseconds = max(0, round(time_ * 1e9))
    return Time(sec=min(nanoseconds // 1_000_000_000, 2**31 - 1), nanosec=nanoseconds % 1_000_000_000)


def now(clock: Clock) -> float:
    """Time on a clock [s]."""
    handle = clock.handle
    with handle:
        return 1e-9 * float(handle.get_now().nanoseconds)


def arrival(now_: float, info: dict | None) -> float:
    """When a message arrived, on the clock of ``now_`` [s], even if it has waited in a queue since.

    Args:
        now_: the present time.
        info: what rclpy tells of the message, with the time of arrival on the system clock.
    """
    if not info or not info.get("received_timestamp"):
        return now_
    waited = 1e-9 * (time.time_ns() - info["received_timestamp"])
    return now_ - waited if 0.0 < waited < 1.0 else now_


def read_odometry(message: Odometry) -> OdometryMessage:
    """An odometry message as the checks take it."""
    p, q = message.pose.pose.position, message.pose.pose.orientation
    v, w = message.twist.twist.linear, message.twist.twist.angular
    return OdometryMessage(
        frame_id=message.header.frame_id,
        child_frame_id=message.child_frame_id,
        stamp=seconds(message.header.stamp),
        position=(p.x, p.y, p.z),
        orientation=(q.x, q.y, q.z, q.w),
        linear=(v.x, v.y, v.z),
        angular=(w.x, w.y, w.z),
    )


def write_odometry(message: Odometry, record: OdometryMessage) -> None:
    """Inverse of :func:`read_odometry`, into a message that is there."""
    message.header.frame_id, message.child_frame_id = record.frame_id, record.child_frame_id
    message.header.stamp = to_stamp(record.stamp)
    pose, twist = message.pose.pose, message.twist.twist
    pose.position.x, pose.position.y, pose.position.z = map(float, record.position)
    q = pose.orientation
    q.x, q.y, q.z, q.w = map(float, record.orientation)
    for vector, values in ((twist.linear, record.linear), (twist.angular, record.angular)):
        vector.x, vector.y, vector.z = map(float, values)


def odometry_message(
    stamp: Time, odom_frame: str, base_frame: str, state: _Numbers, covariance: _Numbers | None = None
) -> Odometry:
    """Odometry of a planar robot.

    Args:
        state: (x, y, yaw, v, omega) [m, m, rad, m/s, rad/s].
        covariance: variances of the same five; None for zero.
    """
    message = Odometry(header=Header(stamp=stamp, frame_id=odom_frame), child_frame_id=base_frame)
    message.pose.pose = pose_message(state[:3])
    message.twist.twist = twist_message(state[3:5])
    if covariance is not None:
        x, y, yaw, v, omega = map(float, covariance)
        message.pose.covariance[[0, 7, 35]] = x, y, yaw
        message.twist.covariance[[0, 35]] = v, omega
    return message


def pose_message(pose: _Numbers) -> Pose:
    """(x [m], y [m], yaw [rad]) as a pose."""
    x, y, z, w = quaternion_from_yaw(float(pose[2]))
    return Pose(
        position=Point(x=float(pose[0]), y=float(pose[1])), orientation=Quaternion(x=x, y=y, z=z, w=w)
    )


def twist_message(command: _Numbers) -> Twist:
    """(v [m/s], omega [rad/s]) as a twist."""
    return Twist(linear=Vector3(x=float(command[0])), angular=Vector3(z=float(command[1])))


def command_message(command: _Numbers, stamp: Time, frame: str, stamped: bool) -> Twist | TwistStamped:
    """(v, omega) as what goes out on cmd_vel."""
    twist = twist_message(command)
    return TwistStamped(header=Header(stamp=stamp, frame_id=frame), twist=twist) if stamped else twist


def command_of(message: Twist | TwistStamped) -> tuple[float, float]:
    """(v, omega) of a message on cmd_vel."""
    twist = getattr(message, "twist", message)
    return twist.linear.x, twist.angular.z


def path_message(stamp: Time, frame: str, poses: np.ndarray, step: float = 0.0) -> Path:
    """Poses of shape (N, 3) as a path; the first is for ``step`` [s] after the stamp, and so on."""
    start = seconds(stamp)
    headers = (Header(stamp=to_stamp(start + (k + 1) * step), frame_id=frame) for k in range(len(poses)))
    stamped = [PoseStamped(header=h, pose=pose_message(p)) for h, p in zip(headers, poses, strict=True)]
    return Path(header=Header(stamp=stamp, frame_id=frame), poses=stamped)


class PathMessage(NamedTuple):
    """What is used of a nav_msgs/Path, or of a trajectory.

    Attributes:
        frame_id: of the path.
        poses: (x, y, yaw) of shape (M, 3) [m, m, rad].
        headed: the last of them has an orientation, which one left all zero is not.
        stamps: of the poses [s], (M,).
        timed: they are times to be there for certain; else it depends on what they are.
    """

    frame_id: str
    poses: np.ndarray
    headed: bool = True
    stamps: np.ndarray = np.zeros(0)
    timed: bool = False


def read_path(data: bytes) -> PathMessage:
    """A serialised nav_msgs/Path.

    A path of a million poses would take seconds as Python objects; as the same frame id all along
    puts the poses at a fixed distance, they are read at one go.

    Args:
        data: CDR, as a raw subscription yields it.

    Raises:
        InvalidPathError: not a path, or one with many poses and frame ids of different lengths.
    """
    try:
        frame, values, stamps = _read_regular(data)
    except (struct.error, ValueError, UnicodeDecodeError):
        frame, values, stamps = _read_message(data)
    return PathMessage(frame, *_planar(values), stamps)


def read_trajectory(message: Any) -> PathMessage:
    """A trajectory_msgs/MultiDOFJointTrajectory of the robot's base: poses and times, not velocities.

    Where its header has no stamp, the first point is for the moment at which the robot starts.

    Raises:
        InvalidPathError: not of one joint all along.
    """
    points, joints = message.points, len(message.joint_names)
    if joints != 1 or any(len(point.transforms) != 1 for point in points):
        raise InvalidPathError(f"a trajectory must be that of one joint, the robot's base, got {joints}")
    values = np.zeros((len(points), 7))
    for row, point in zip(values, points, strict=True):
        t, q = point.transforms[0].translation, point.transforms[0].rotation
        row[:] = t.x, t.y, t.z, q.x, q.y, q.z, q.w
    stamps = np.array([seconds(point.time_from_start) for point in points])
    start = seconds(message.header.stamp)
    stamps = stamps + start if start else stamps - stamps[:1]
    return PathMessage(message.header.frame_id, *_planar(values), stamps, timed=True)


def _planar(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """(x, y, yaw) of rows (x, y, z, qx, qy, qz, qw), (M, 3), and whether the last has an orientation."""
    with np.errstate(invalid="ignore", over="ignore"):
        x, y, qx, qy, qz, qw = (values[:, i] for i in (0, 1, 3, 4, 5, 6))
        norm = np.sqrt(qx * qx + qy * qy + qz * qz + qw * qw)
        yaw = np.arctan2(2.0 * (qw * qz + qx * qy), qw * qw + qx * qx - qy * qy - qz * qz)
    yaw = np.where(norm > 1e-6, yaw, np.where(np.isfinite(norm), 0.0, np.nan))
    return np.column_stack([x, y, yaw]), not (len(norm) and norm[-1] <= 1e-6)


def _read_regular(data: bytes) -> tuple[str, np.ndarray, np.ndarray]:
    """The fast way; ValueError or struct.error when the layout is not the regular one."""
    if bytes(data[:2]) != b"\x00\x01":  # CDR, little-endian
        raise ValueError("another encoding")
    body = memoryview(data)[4:]
    (length,) = struct.unpack_from("<I", body, 8)
    frame = bytes(body[12 : 12 + length]).rstrip(b"\0").decode()
    offset = _aligned(12 + length, 4)
    (count,) = struct.unpack_from("<I", body, offset)
    offset += 4
    if count == 0:
        return frame, np.zeros((0, 7)), np.zeros(0)
    (name,) = struct.unpack_from("<I", body, offset + 8)
    first = _aligned(offset + 12 + name, 8)
    stride = _aligned(first + 56 + 12 + name, 8) - first
    if first + (count - 1) * stride + 56 > len(body):
        raise ValueError("too short")
    values = np.ndarray((count, 7), "<f8", buffer=body, offset=first, strides=(stride, 8))
    # From the second pose on the header begins right after the doubles of the one before.
    headers = np.zeros(count, _HEADER)
    headers[0] = np.frombuffer(body, _HEADER, 1, offset)[0]
    if count > 1:
        headers[1:] = np.ndarray((count - 1,), _HEADER, buffer=body, offset=first + 56, strides=(stride,))
    if not (headers["length"] == name).all():
        raise ValueError("frame ids of different lengths")
    return frame, values.copy(), headers["sec"] + 1e-9 * headers["nanosec"]


def _read_message(data: bytes) -> tuple[str, np.ndarray, np.ndarray]:
    if len(data) > 4 + MAX_IRREGULAR_POSES * 160:
        raise InvalidPathError(
            f"a path whose poses have frame ids of different lengths may have {MAX_IRREGULAR_POSES} poses"
        )
    try:
        message = deserialize_message(bytes(data), Path)
    except Exception as error:
        raise InvalidPathError(f"path cannot be read: {error}") from error
    values = np.zeros((len(message.poses), 7))
    for row, stamped in zip(values, message.poses, strict=True):
        p, q = stamped.pose.position, stamped.pose.orientation
        row[:] = p.x, p.y, p.z, q.x, q.y, q.z, q.w
    stamps = np.array([seconds(stamped.header.stamp) for stamped in message.poses])
    return message.header.frame_id, values, stamps


def _aligned(offset: int, to: int) -> int:
    return (offset + to - 1) // to * to


def read_costmap(message: OccupancyGrid, before: Costmap | None = None) -> Costmap:
    """An occupancy grid as a costmap, in the grid's frame.

    Args:
        message: the grid.
        before: the grid as it was; saves time where little changed.

    Raises:
        InvalidValueError: the size does not fit the data, or is not allowed.
    """
    info, origin = message.info, message.info.origin
    data = np.asarray(message.data, dtype=np.int8)
    if data.size != info.width * info.height:
        raise InvalidValueError(f"data must have {info.width} x {info.height} cells, got {data.size}")
    place = (origin.position.x, origin.position.y, yaw_of(origin))
    return Costmap(data.reshape(info.height, info.width), info.resolution, place, before=before)


def yaw_of(pose: Pose) -> float:
    """Heading of a pose [rad]."""
    return yaw_of_quaternion(pose.orientation)


def yaw_of_quaternion(q: Quaternion) -> float:
    """Heading of an orientation [rad]."""
    return yaw_from_quaternion(q.x, q.y, q.z, q.w)


def candidates_message(stamp: Time, frame: str, poses: np.ndarray, costs: np.ndarray) -> MarkerArray:
    """Rollouts as lines, green for the cheapest to red for the dearest.

    Args:
        poses: shape (C, N, 3); costs: shape (C,), lowest is best.
    """
    rank = np.empty(len(costs))
    rank[np.argsort(costs)] = np.linspace(0.0, 1.0, len(costs)) if len(costs) > 1 else 0.0
    markers = []
    for i, (line, share) in enumerate(zip(poses, rank, strict=True)):
        marker = Marker(
            header=Header(stamp=stamp, frame_id=frame), ns="candidates", id=i, type=Marker.LINE_STRIP
        )
        marker.action, marker.scale.x, marker.pose.orientation.w = Marker.ADD, 0.01, 1.0
        marker.color = ColorRGBA(r=float(share), g=1.0 - float(share), b=0.0, a=0.6)
        marker.points = [Point(x=float(x), y=float(y)) for x, y, _ in line]
        markers.append(marker)
    return MarkerArray(markers=markers)
