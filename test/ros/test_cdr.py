"""What is read out of serialised messages is what their classes say."""

from __future__ import annotations

import struct

import pytest
from geometry_msgs.msg import Twist, TwistStamped
from hypothesis import given
from hypothesis import strategies as st
from mppi_maml_ros.msg import ControllerStatus
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message, serialize_message

from mppi_maml_ros.ros import cdr
from mppi_maml_ros.ros import conversions as to

# A string of a message ends at a zero, and is UTF-8.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
NUMBER = st.floats()
STAMP = st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1))


def stamp(message, frame: str, at: tuple[int, int]):
    message.header.frame_id = frame
    message.header.stamp.sec, message.header.stamp.nanosec = at
    return message


def put(vector, values) -> None:
    for name, value in zip("xyzw", values, strict=False):
        setattr(vector, name, value)


def same(a, b) -> bool:
    return repr(a) == repr(b)  # NaN, which says so of itself, and signs of zero included


@given(TEXT, TEXT, STAMP, st.lists(NUMBER, min_size=13, max_size=13))
def test_odometry_is_what_the_message_holds(frame, child, at, values):
    message = stamp(Odometry(child_frame_id=child), frame, at)
    put(message.pose.pose.position, values[:3])
    put(message.pose.pose.orientation, values[3:7])
    put(message.twist.twist.linear, values[7:10])
    put(message.twist.twist.angular, values[10:])
    message.pose.covariance[:] = 3.0
    message.twist.covariance[:] = 5.0
    data = serialize_message(message)
    assert same(cdr.odometry(data), to.read_odometry(deserialize_message(data, Odometry)))
    assert same(cdr.odometry(data), to.read_odometry(message))


@given(TEXT, STAMP, NUMBER, NUMBER)
def test_commands_are_what_the_message_holds(frame, at, v, omega):
    twist = Twist()
    twist.linear.x, twist.angular.z = v, omega
    assert same(cdr.twist(serialize_message(twist)), (v, omega))
    message = stamp(TwistStamped(twist=twist), frame, at)
    assert same(cdr.stamped_twist(serialize_message(message)), (to.seconds(message.header.stamp), (v, omega)))


@given(TEXT, TEXT, TEXT, st.integers(0, 255), st.integers(0, 2**64 - 1), NUMBER)
def test_what_the_controller_says_is_what_the_message_holds(frame, reason, model, state, version, error):
    message = ControllerStatus(reason=reason, model=model, state=state, weights_version=version)
    message.tracking_error = error
    data = serialize_message(stamp(message, frame, (3, 4)))
    assert same(cdr.controller_status(data), (state, version, error))


READERS = {Odometry: cdr.odometry, Twist: cdr.twist, TwistStamped: cdr.stamped_twist}


@pytest.mark.parametrize("kind", READERS)
def test_bytes_that_are_no_message_are_refused_as_the_class_does(kind):
    whole = serialize_message(kind())
    for length in range(len(whole)):
        try:
            deserialize_message(whole[:length], kind)
        except Exception as error:  # noqa: BLE001 - whatever the middleware raises
            with pytest.raises(type(error)):
                READERS[kind](whole[:length])
        else:
            READERS[kind](whole[:length])


def test_the_other_byte_order_is_read_too():
    numbers = struct.pack(">6d", 0.4, 0.0, 0.0, 0.0, 0.0, -0.3)
    header = struct.pack(">iII4s", 7, 500_000_000, 4, b"abc\0")
    assert cdr.twist(b"\0\0\0\0" + numbers) == (0.4, -0.3)
    assert cdr.stamped_twist(b"\0\0\0\0" + header + numbers) == (7.5, (0.4, -0.3))
