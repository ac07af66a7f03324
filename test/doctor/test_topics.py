"""What is said of a robot's topics, one fault at a time."""

import math

import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.types import OdometryMessage
from mppi_maml_ros.doctor.finding import Level
from mppi_maml_ros.doctor.topics import ODOMETRY, Command, Endpoint, Listened, Sample, Topic, judge_topics

TWIST, STAMPED = "geometry_msgs/msg/Twist", "geometry_msgs/msg/TwistStamped"
START, DT, COUNT = 1.8e9, 0.05, 160
OURS, BASE = Endpoint("/mppi_controller", TWIST), Endpoint("/base", TWIST)


def drive(edit=lambda k, message: message, moving=True, rate=1.0 / DT, simulated=math.nan, age=0.01):
    """Odometry of a robot of half the gain under changing commands, and the commands."""
    samples, commands, pose = [], [], np.array([1.0, 2.0, 0.3])
    for k in range(COUNT):
        t, dt = k / rate, 1.0 / rate
        v, omega = (0.4 + 0.2 * math.sin(0.9 * t), 0.7 * math.cos(0.6 * t)) if moving else (0.0, 0.0)
        commands.append(Command(100.0 + t, START + t, simulated + t, (v, omega)))
        twist = 0.5 * v, 0.5 * omega
        heading = pose[2] + 0.5 * twist[1] * dt
        pose += dt * np.array([twist[0] * math.cos(heading), twist[0] * math.sin(heading), twist[1]])
        stamp = (START if math.isnan(simulated) else simulated) + t + dt
        message = OdometryMessage.planar(stamp - age, [*pose, *twist])
        samples.append(Sample(100.0 + t + dt, START + t + dt, simulated + t + dt, edit(k, message)))
    return {"odometry": samples, "commands": commands}


def listened(**changes):
    """A sound robot that our controller drives, but for the changes."""
    sound = {
        "duration": 8.0,
        "odom": Topic("/odom", (Endpoint("/base", ODOMETRY),)),
        "cmd_vel": Topic("/cmd_vel", (OURS,), (BASE, Endpoint("/adaptation", TWIST))),
        "nodes": ("/base", "/mppi_controller"),
    }
    return Listened(**(sound | drive() | changes))


def troubles(heard):
    return [finding for finding in judge_topics(heard) if finding.level is not Level.OK]


def changed(**fields):
    return lambda k, message: attrs.evolve(message, **{n: f(k, message) for n, f in fields.items()})


def test_nothing_is_said_against_a_sound_robot():
    assert troubles(listened()) == []


def test_a_robot_in_simulated_time_is_sound_and_needs_use_sim_time():
    (found,) = troubles(listened(**drive(simulated=12.0)))
    assert (found.level, found.about) == (Level.NOTE, "stamps") and "use_sim_time:=true" in found.do


def twice(*endpoints):
    return Topic("/odom", tuple(Endpoint(name, ODOMETRY) for name in endpoints))


def commanded(*publishers, by=(BASE,)):
    return Topic("/cmd_vel", publishers, tuple(by))


def echo(k, message):
    v, omega = drive_commands[k].values
    return attrs.evolve(message, linear=(v, 0.0, 0.0), angular=(0.0, 0.0, omega))


drive_commands = drive()["commands"]


@pytest.mark.parametrize(
    ("changes", "level", "about", "says", "do"),
    [
        ({"odom": Topic("/odom"), "odometry": ()}, "wrong", "odom", "nobody publishes", "start the base"),
        (
            {"odom": Topic("/odom"), "odometry": (), "elsewhere": (("/wheel/odom",), ())},
            "wrong", "odom", "nobody publishes", "odom_topic:=/wheel/odom",
        ),
        (
            {"odom": Topic("/odom", (Endpoint("/base", TWIST),)), "odometry": ()},
            "wrong", "odom", TWIST, "ros2 topic list",
        ),
        ({"odom": twice("/base", "/ekf")}, "wrong", "odom", "2 publishers", "ros2 topic info -v /odom"),
        ({"odometry": ()}, "wrong", "odom", "nothing came within 8 s", "ros2 topic hz /odom"),
        (drive(rate=5.0), "wrong", "rate", "5.0 Hz, 6.7 Hz are needed", "min_odometry_rate: 4.0"),
        (drive(rate=10.0), "note", "rate", "10.0 Hz, 20 to 100 Hz", "raise"),
        (
            drive(changed(frame_id=lambda k, m: ("odom", "map")[k % 2])),
            "wrong", "frames", "change", "one pair",
        ),
        (drive(changed(frame_id=lambda k, m: "")), "wrong", "frames", "no frame_id", "odom_frame_id"),
        (drive(changed(child_frame_id=lambda k, m: "")), "note", "frames", "without child_frame_id", ""),
        (
            drive(changed(child_frame_id=lambda k, m: "odom")),
            "wrong", "frames", "both in 'odom'", "base_frame_id",
        ),
        (drive(changed(frame_id=lambda k, m: "map")), "note", "frames", "'map'", "odom"),
        (drive(changed(stamp=lambda k, m: 0.0)), "note", "stamps", "no stamps", "stamp it"),
        (drive(age=3.0), "wrong", "stamps", "3.00 s old", "chrony"),
        (drive(age=-2.0), "wrong", "stamps", "2.00 s ahead", "chrony"),
        (
            drive(changed(stamp=lambda k, m: m.stamp - 0.05 * (k % 2))),
            "wrong", "odometry", "repeats the stamp", "once a measurement",
        ),
        (
            drive(changed(stamp=lambda k, m: m.stamp - 0.08 * (k % 2))),
            "wrong", "odometry", "older than a message before", "one publisher",
        ),
        (
            drive(changed(position=lambda k, m: (math.nan, 0.0, 0.0))),
            "wrong", "odometry", "NaN", "ros2 topic echo /odom",
        ),
        (
            drive(changed(orientation=lambda k, m: (0.0, 0.0, 0.0, 0.0))),
            "wrong", "odometry", "norm 0", "ros2 topic echo",
        ),
        (
            drive(changed(position=lambda k, m: (m.position[0] + 9.0 * (k == 50), *m.position[1:]))),
            "note", "odometry", "jumped", "must not jump",
        ),
        (
            drive(changed(position=lambda k, m: (0, 0, 0), orientation=lambda k, m: (0, 0, 0, 1))),
            "wrong", "odometry", "hangs", "restart",
        ),
        (drive(echo), "wrong", "twist", "repeats the command", "twist_source: pose"),
        (
            drive(changed(linear=lambda k, m: (0, 0, 0), angular=lambda k, m: (0, 0, 0))),
            "wrong", "twist", "the twist is zero", "twist_source: pose",
        ),
        (drive(moving=False), "note", "twist", "stood still", "--duration 20"),
        (
            {"odometry": drive(moving=False)["odometry"]},
            "wrong", "motion", "stands although", "emergency stop",
        ),
        ({"cmd_vel": commanded(OURS, by=())}, "wrong", "cmd_vel", "nobody listens", "start the base"),
        (
            {"cmd_vel": commanded(OURS, by=[Endpoint("/adaptation", TWIST)])},
            "wrong", "cmd_vel", "nobody listens", "start the base",
        ),
        (
            {"cmd_vel": commanded(OURS, by=()), "elsewhere": ((), ("/base/cmd",))},
            "wrong", "cmd_vel", "nobody listens", "cmd_vel_topic:=/base/cmd",
        ),
        (
            {"cmd_vel": commanded(OURS, by=[Endpoint("/base", "std_msgs/msg/Float64")])},
            "wrong", "cmd_vel", "std_msgs/msg/Float64", "Twist",
        ),
        (
            {"cmd_vel": commanded(OURS, by=[BASE, Endpoint("/mux", STAMPED)])},
            "wrong", "cmd_vel", "one of both", "cmd_vel_type:=",
        ),
        (
            {"cmd_vel": commanded(OURS, by=[attrs.evolve(BASE, kept=True)])},
            "wrong", "cmd_vel", "transient local", "volatile",
        ),
        ({"cmd_vel": commanded(OURS, Endpoint("/joy", TWIST))}, "wrong", "commands", "only one", "stop"),
        ({"cmd_vel": commanded(OURS, OURS)}, "wrong", "commands", "only one", "stop"),
        ({"cmd_vel": commanded(Endpoint("/joy", TWIST))}, "note", "commands", "/joy publishes", "before"),
        (
            {"cmd_vel": commanded(OURS, by=[Endpoint("/base", STAMPED)])},
            "wrong", "commands", "sends geometry_msgs/msg/Twist", "cmd_vel_type:=twist_stamped",
        ),
        (
            {"cmd_vel": commanded(attrs.evolve(OURS, reliable=False))},
            "wrong", "commands", "/mppi_controller sends best effort on /cmd_vel, and /base", "reliable",
        ),
        ({"nodes": ("/base",)}, "note", "commands", "does not run", "bringup.launch.py"),
        ({"jump": -1.5}, "wrong", "clock", "-1.50 s", "chrony"),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_what_to_do(changes, level, about, says, do):
    (found,) = {(f.about, f.says): f for f in troubles(listened(**changes))}.values()
    assert (found.level, found.about) == (Level(level), about)
    assert says in found.says and do in found.do


def test_a_gap_is_noted():
    heard = drive()
    heard["odometry"] = [s for s in heard["odometry"] if not 40 <= (s.steady - 100.0) / DT < 60]
    (found,) = troubles(listened(**heard))
    assert found.about == "rate" and "gap of 1.0" in found.says


@pytest.mark.parametrize(
    "clock", [{"simulated": 12.0}, {"age": 3.0}], ids=["simulated", "of another machine"]
)
def test_an_echo_is_found_on_whatever_clock_odometry_is(clock):
    found = {finding.about: finding for finding in troubles(listened(**drive(echo, **clock)))}
    assert set(found) == {"stamps", "twist"} and "repeats the command" in found["twist"].says
