"""Between messages and numbers, nothing is lost and nothing wrong gets through."""

from __future__ import annotations

import array
import contextlib
import hashlib
import math

import attrs
import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, Quaternion, Twist
from mppi_maml_ros.srv import SwapWeights
from nav_msgs.msg import Path
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from mppi_maml_ros.core.errors import InvalidPathError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.features import feature_size, input_size
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.ros import conversions as to
from mppi_maml_ros.ros.weights import code_of, read_weights, weights_message
from mppi_maml_ros.safety.frames import FrameLatch
from mppi_maml_ros.safety.publishers import LivePublishers
from mppi_maml_ros.weights.admission import SwapError, check_corrections

CODE = SwapWeights.Response
TAPS = 3


@pytest.fixture
def weights() -> ResidualWeights:
    rng = np.random.default_rng(0)
    size = input_size(TAPS)
    return ResidualWeights(
        linear=0.05 * rng.normal(size=(3, feature_size(TAPS))),
        layers=(
            (0.1 * rng.normal(size=(8, size)), np.zeros(8)),
            (0.1 * rng.normal(size=(3, 8)), np.zeros(3)),
        ),
        input_scale=np.ones(size),
        displacement_blend=1.0,
        activation="tanh",
        delay_taps=TAPS,
        model_dt=0.05,
        adapter="maml",
    )


def signed(message):
    """With the checksum of what it holds."""
    message.sha256 = hashlib.sha256(np.asarray(message.data, dtype="<f4").tobytes()).hexdigest()
    return message


def refused(message) -> SwapError:
    with pytest.raises(SwapError) as caught:
        read_weights(message)
    return caught.value


def stamp():
    return to.to_stamp(12.5)


def test_a_stamp_survives_the_way_to_seconds_and_back():
    assert to.to_stamp(12.000000001).nanosec == 1
    assert to.seconds(to.to_stamp(1234.25)) == 1234.25
    assert to.to_stamp(-1.0).sec == 0


def test_odometry_survives_the_way_to_a_message_and_back():
    state = (1.0, -2.0, 2.5, 0.4, -0.3)
    sent = to.read_odometry(to.odometry_message(stamp(), "odom", "base", state, (1.0, 2.0, 3.0, 4.0, 5.0)))
    assert (sent.frame_id, sent.child_frame_id, sent.stamp) == ("odom", "base", 12.5)
    assert sent.position == (1.0, -2.0, 0.0)
    assert math.isclose(math.hypot(*sent.orientation), 1.0)
    assert (sent.linear[0], sent.angular[2]) == (0.4, -0.3)


@pytest.mark.parametrize("stamped", [False, True])
def test_a_command_survives_the_way_to_a_message_and_back(stamped):
    message = to.command_message((0.25, -0.5), stamp(), "base", stamped)
    assert to.command_of(message) == (0.25, -0.5)
    assert isinstance(message, Twist) is not stamped


def test_a_message_that_waited_is_given_its_time_of_arrival():
    import time

    info = {"received_timestamp": time.time_ns() - 50_000_000}
    assert to.arrival(100.0, info) == pytest.approx(99.95, abs=0.02)
    assert to.arrival(100.0, None) == 100.0
    assert to.arrival(100.0, {"received_timestamp": time.time_ns() + 10**9}) == 100.0


def path(poses, frame="odom", frames=None) -> bytes:
    frames = frames or [frame] * len(poses)
    return serialize_message(
        Path(
            header=Header(frame_id=frame, stamp=stamp()),
            poses=[
                PoseStamped(header=Header(frame_id=name), pose=to.pose_message(pose))
                for pose, name in zip(poses, frames, strict=True)
            ],
        )
    )


@pytest.mark.parametrize(
    "frame", ["", "o", "od", "odo", "odom", "fleet/odom", "a_rather_long_name_of_a_frame"]
)
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_a_path_is_read_whatever_the_length_of_its_frame_id(frame, count):
    poses = np.random.default_rng(1).uniform(-3.0, 3.0, size=(count, 3))
    read_frame, read, headed, *_ = to.read_path(path(poses, frame))
    assert read_frame == frame and headed
    np.testing.assert_allclose(read, poses.reshape(-1, 3), atol=1e-12)


@pytest.mark.parametrize("frames", [["odom", "", "base"], ["", "odom", ""], ["odom", "odom", "map_"]])
def test_a_path_with_frame_ids_of_different_lengths_is_read(frames):
    poses = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 0.5], [2.0, 2.0, -3.0]])
    np.testing.assert_allclose(to.read_path(path(poses, "odom", frames))[1], poses, atol=1e-12)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("frames", [["odom"], ["odom", "", "base"]])
def test_the_stamps_of_a_paths_poses_are_read(count, frames):
    message = deserialize_message(path(np.zeros((count, 3)), frames=(frames * 7)[:count]), Path)
    stamps = [1.7e9 + 0.25 * k for k in range(count)]
    for pose, stamp_ in zip(message.poses, stamps, strict=True):
        pose.header.stamp = to.to_stamp(stamp_)
    np.testing.assert_allclose(to.read_path(serialize_message(message)).stamps, stamps, atol=1e-6)


@pytest.mark.fault(19)
def test_a_path_with_nan_keeps_it_for_the_judge():
    assert np.isnan(to.read_path(path([[0.0, 0.0, 0.0], [math.nan, 0.0, 0.0]]))[1][1, 0])


@pytest.mark.fault(73)
@pytest.mark.parametrize("frames", [None, ["odom", "", "base"]])
def test_a_path_whose_last_orientation_is_all_zero_wants_no_heading(frames):
    data = path([[0.0, 0.0, 0.5], [1.0, 0.0, 0.5], [2.0, 0.0, 0.5]], frames=frames)
    message = deserialize_message(data, Path)
    assert to.read_path(data)[2]
    message.poses[-1].pose.orientation = Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)
    _, poses, headed, *_ = to.read_path(serialize_message(message))
    assert not headed and np.isfinite(poses).all()
    message.poses[-1].pose.orientation.z = math.nan
    assert np.isnan(to.read_path(serialize_message(message))[1][-1, 2])


@pytest.mark.fault(21)
def test_a_path_of_a_million_poses_is_read_at_one_go():
    import time

    two = path([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    one = path([[0.0, 0.0, 0.0]])
    pose = two[len(one) :]
    count = 1_000_000
    start = one.index(b"\x01\x00\x00\x00\x00\x00\x00\x00", 16)
    data = one[:start] + count.to_bytes(4, "little") + one[start + 4 :] + pose * (count - 1)
    begun = time.process_time()
    poses = to.read_path(data).poses
    assert time.process_time() - begun < 1.0
    assert poses.shape == (count, 3) and poses[-1, 0] == 1.0


@pytest.mark.fault(57)
def test_no_cut_or_damage_of_a_path_raises_anything_else_than_an_invalid_path():
    rng = np.random.default_rng(2)
    data = path(rng.normal(size=(4, 3)))
    for _ in range(300):
        damaged = bytearray(data[: rng.integers(0, len(data) + 1)])
        for _ in range(rng.integers(0, 4)):
            if damaged:
                damaged[rng.integers(0, len(damaged))] = rng.integers(0, 256)
        with contextlib.suppress(InvalidPathError):
            to.read_path(bytes(damaged))


def test_weights_survive_the_way_to_a_message_and_back(weights):
    message = weights_message(weights, stamp())
    again = read_weights(message)
    assert again.digest() == weights.digest()
    assert (again.adapter, again.activation, again.delay_taps, again.model_dt) == ("maml", "tanh", TAPS, 0.05)


def test_weights_with_everything_that_may_be_left_out_survive_it_too(weights):
    size = weights.linear.shape[1]
    whole = attrs.evolve(
        weights, transport_delay=(3, 12), momentum=(0.7, -0.2), observer=[[0.3, 0.4], [0.1, 1.0]],
        acceleration=[[0.5, 1000.0], [0.7, 2.0]],
        error_model=[[0.9, 0.0], [0.2, 0.0], [-0.1, 0.0]], covariance=np.eye(size),
    )  # fmt: skip
    again = read_weights(weights_message(whole, stamp()))
    assert again.digest() == whole.digest() and again.transport_delay == (3, 12)
    assert np.array_equal(again.observer, whole.observer) and np.array_equal(again.momentum, whole.momentum)
    assert np.array_equal(again.acceleration, whole.acceleration)


@pytest.mark.fault(33)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused(weights, value):
    message = weights_message(weights, stamp())
    message.data[3] = value
    error = refused(signed(message))
    assert code_of(error) == CODE.NOT_FINITE and "linear" in str(error)


@pytest.mark.fault(33)
def test_huge_weights_are_refused(weights):
    message = weights_message(weights, stamp())
    message.data[3] = 1e9
    error = refused(signed(message))
    assert code_of(error) == CODE.TOO_LARGE and "linear" in str(error)


@pytest.mark.fault(33)
def test_weights_that_predict_what_no_robot_does_are_refused(weights):
    import attrs

    linear = np.array(weights.linear)
    linear[0, 0] = 200.0
    with pytest.raises(SwapError, match="forward velocity") as caught:
        check_corrections(attrs.evolve(weights, linear=linear), VelocityLimits())
    assert code_of(caught.value) == CODE.TOO_LARGE
    check_corrections(weights, VelocityLimits())
    check_corrections(ResidualWeights.first_order((0.3, 0.3), (0.6, 1.3), 0.12), VelocityLimits())


@pytest.mark.fault(28)
def test_damaged_weights_are_refused(weights):
    message = weights_message(weights, stamp())
    message.data[5] = 0.125
    error = refused(message)
    assert code_of(error) == CODE.INVALID_FORMAT and "sha256" in str(error)


def _without_last(message):
    message.data = message.data[:-1]


def _with_rows(message):
    message.tensor_rows[0] = 4
    message.data = array.array("f", [*message.data, *[0.0] * message.tensor_cols[0]])


def _renamed(message):
    message.tensor_names[0] = "quadratic"


def _repeated(message):
    message.tensor_names[1] = message.tensor_names[0]


def _of_another_version(message):
    message.format_version = 7


def _without_sizes(message):
    message.tensor_rows = []


def _of_no_size(message):
    message.tensor_rows[0] = 0


def _enormous(message):
    message.tensor_rows[0] = message.tensor_cols[0] = 2**32 - 1


def _of_another_activation(message):
    message.activation = "sine"


def _of_more_taps(message):
    message.delay_taps = 8


def _of_too_many_taps(message):
    message.delay_taps = 4_000_000_000


def _of_no_time(message):
    message.model_dt = math.nan


def _as_matrix(message):
    index = message.tensor_names.index("input_scale")
    message.tensor_cols[index], message.tensor_rows[index] = message.tensor_rows[index], 1


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_without_last, "data"),
        (_with_rows, "linear"),
        (_renamed, "quadratic"),
        (_repeated, "tensor_names"),
        (_of_another_version, "format_version"),
        (_without_sizes, "tensor_rows"),
        (_of_no_size, "row"),
        (_enormous, "memory"),
        (_of_another_activation, "activation"),
        (_of_more_taps, "linear"),
        (_of_too_many_taps, "delay_taps"),
        (_of_no_time, "model_dt"),
        (_as_matrix, "input_scale"),
    ],
)
def test_weights_of_the_wrong_shape_are_refused_by_name(weights, spoil, named):
    message = weights_message(weights, stamp())
    spoil(message)
    error = refused(signed(message))
    assert code_of(error) == CODE.INVALID_FORMAT
    assert named in str(error)


@pytest.mark.fault(16)
def test_frames_are_those_configured_or_those_of_the_first_message():
    latch = FrameLatch()
    assert not latch.offer("", "base") and not latch.offer("", "") and not latch.latched
    assert latch.offer("robot/odom", "robot/base")
    assert (latch.odom_frame, latch.base_frame) == ("robot/odom", "robot/base")
    assert not latch.offer("other", "frames") and latch.odom_frame == "robot/odom"
    unnamed = FrameLatch()
    assert unnamed.offer("odom", "") and unnamed.base_frame == "base_link"
    known = FrameLatch(base_frame="base")
    assert known.offer("odom", "") and known.base_frame == "base"
    half = FrameLatch(odom_frame="odom")
    assert not half.offer("map", "base") and half.offer("odom", "base")


@pytest.mark.fault(17)
def test_two_publishers_that_both_live_are_counted():
    live = LivePublishers(silence=0.25)
    for i in range(20):
        live.heard(0.05 * i)
        assert live.count("ab", 0.05 * i) == 2


@pytest.mark.fault(43)
def test_a_killed_publisher_is_not_counted_beside_the_one_that_takes_its_place():
    live = LivePublishers(silence=0.25, lease=25.0)
    live.heard(0.0)
    assert live.count("a", 0.1) == 1
    # killed at 0.1 s, another one from 1.0 s on
    live.heard(1.0)
    assert live.count("ab", 1.1) == 1
    for i in range(11, 300):
        live.heard(0.1 * i)
        assert live.count("ab" if i < 210 else "b", 0.1 * i) == 1


@pytest.mark.fault(17)
def test_a_publisher_that_fell_silent_but_is_still_there_after_the_lease_is_counted_again():
    live = LivePublishers(silence=0.25, lease=25.0)
    live.heard(0.0)
    live.count("a", 0.1)
    live.heard(1.0)
    assert live.count("ab", 1.1) == 1
    for i in range(11, 280):
        live.heard(0.1 * i)
        count = live.count("ab", 0.1 * i)
    assert count == 2
