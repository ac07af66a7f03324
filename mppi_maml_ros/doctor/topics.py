"""The robot's topics: who is there, types and QoS, rates, frames, clocks, and what twist and commands say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs
import numpy as np

from ..core.types import Array, Odometry, OdometryMessage
from ..safety.checks import OdometryChecks, OdometryTolerances, Reason
from ..safety.odometry_consistency import MOVING, contradictions
from .finding import Finding, note, ok, wrong

ODOMETRY = "nav_msgs/msg/Odometry"
COMMANDS = {"geometry_msgs/msg/Twist": "twist", "geometry_msgs/msg/TwistStamped": "twist_stamped"}
OURS = "mppi_controller"
WATCHERS = (
    "adaptation",
    "recorder",
    "rosbag2_recorder",
    "live",
    "rviz",
    "_ros2cli",
)  # hear, and obey nothing
LOWEST_RATE, GOOD_RATE = 6.7, 20.0  # [Hz] needed by default, and asked for in the documentation
LONGEST_GAP = 0.25  # [s] between two messages, beyond which nothing is learned from them
MAX_AGE, FUTURE = 0.25, 0.1  # [s] of a stamp behind and ahead of the clock
JUMP = 0.1  # [s] that the system clock may gain or lose while it is looked at
FEW = 0.02  # share of messages that may be bad before it is a fault
FASTEST = OdometryTolerances(max_speed=5.0, max_yaw_rate=10.0)
STANDS = 1.0  # [s] of commands that a robot may take to move


@attrs.frozen
class Endpoint:
    """A publisher or subscriber.

    Attributes:
        node: full name.
        kind: type of its messages.
        reliable, kept: its QoS: reliable, transient local.
    """

    node: str
    kind: str
    reliable: bool = True
    kept: bool = False


@attrs.frozen
class Topic:
    """Who publishes and hears a topic, the doctor left out."""

    name: str
    publishers: tuple[Endpoint, ...] = ()
    subscribers: tuple[Endpoint, ...] = ()


@attrs.frozen(eq=False)
class Sample:
    """An odometry message as it came.

    Attributes:
        steady, system, simulated: time of arrival on the steady and the system clock, and the last time that
            /clock told; NaN: none [s].
    """

    steady: float
    system: float
    simulated: float
    message: OdometryMessage


@attrs.frozen(eq=False)
class Command:
    """A command (v [m/s], omega [rad/s]) as it came; times as those of a :class:`Sample`."""

    steady: float
    system: float
    simulated: float
    values: tuple[float, float]


@attrs.frozen(eq=False)
class Listened:
    """What was heard in a while.

    Attributes:
        duration: of listening [s].
        odom, cmd_vel: the robot's topics.
        odometry, commands: in the order of arrival.
        elsewhere: other topics with odometry, and others on which velocities are heard.
        nodes: names of all nodes.
        jump: by how much the system clock ran off the steady one [s].
    """

    duration: float
    odom: Topic
    cmd_vel: Topic
    odometry: Sequence[Sample] = ()
    commands: Sequence[Command] = ()
    elsewhere: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    nodes: tuple[str, ...] = ()
    jump: float = 0.0


def judge_topics(heard: Listened) -> list[Finding]:
    """What is to be said of a robot, with and without fault."""
    found = [*_odometry_is_there(heard)]
    if heard.odometry:
        found += [_rate(heard), _frames(heard)]
        clock, simulated = _stamps(heard)
        found += [clock, *_contents(heard, simulated)]
    found += [*_listeners(heard), *_commanders(heard), _system_clock(heard)]
    return found


def _names(endpoints: Sequence[Endpoint]) -> str:
    return ", ".join(sorted({endpoint.node for endpoint in endpoints}))


def _is_ours(endpoint: Endpoint) -> bool:
    return endpoint.node.rsplit("/", 1)[-1] == OURS


def _odometry_is_there(heard: Listened) -> list[Finding]:
    topic, publishers = heard.odom.name, heard.odom.publishers
    right = [publisher for publisher in publishers if publisher.kind == ODOMETRY]
    if not publishers:
        others = heard.elsewhere[0]
        do = "start the base's driver; ros2 topic list -t | grep Odometry; is ROS_DOMAIN_ID the robot's?"
        if others:
            do = f"mppi-maml doctor --odom-topic {others[0]}; ros2 launch mppi_maml_ros bringup.launch.py "
            do += f"odom_topic:={others[0]} (there is odometry on {', '.join(others)})"
        return [wrong("odom", f"nobody publishes on {topic}", do)]
    if not right:
        says = f"{topic} is {publishers[0].kind} (from {_names(publishers)}), {ODOMETRY} is needed"
        return [
            wrong("odom", says, "ros2 topic list -t | grep Odometry, and --odom-topic with what is there")
        ]
    found = []
    if len(right) > 1:
        says = f"{topic} has {len(right)} publishers ({_names(right)}): two sources are never mixed"
        found.append(wrong("odom", says, f"ros2 topic info -v {topic}, and stop or remap one of them"))
    if not heard.odometry:
        says = f"{_names(right)} publishes {topic}, but nothing came within {heard.duration:g} s"
        do = f"ros2 topic hz {topic}; from another machine: does the network let multicast and UDP through?"
        found.append(wrong("odom", says, do))
    how = "reliable" if right[0].reliable else "best effort"
    return found or [ok("odom", f"{topic} from {_names(right)}, {how}")]


def _rate(heard: Listened) -> Finding:
    arrivals = np.array([sample.steady for sample in heard.odometry])
    times = np.diff(arrivals)
    if not len(times) or not np.median(times) > 0.0:
        return wrong("rate", "a single message of odometry came", f"ros2 topic hz {heard.odom.name}")
    rate, longest = 1.0 / float(np.median(times)), float(times.max())
    if rate < LOWEST_RATE:
        do = (
            f"raise the driver's rate to {GOOD_RATE:g} Hz or more; or set min_odometry_rate: {0.8 * rate:.1f}"
        )
        return wrong("rate", f"odometry comes at {rate:.1f} Hz, {LOWEST_RATE:g} Hz are needed", do)
    if rate < GOOD_RATE - 1.0:
        says = f"odometry comes at {rate:.1f} Hz, {GOOD_RATE:g} to 100 Hz are better"
        return note("rate", says, "raise the rate of the driver")
    if longest > LONGEST_GAP:
        says = f"odometry comes at {rate:.0f} Hz, with a gap of {longest:.2f} s"
        return note("rate", says, "a busy processor (top)? or a lossy network (ping)")
    return ok("rate", f"odometry comes at {rate:.0f} Hz, {1e3 * longest:.0f} ms apart at most")


def _frames(heard: Listened) -> Finding:
    frames = Counter((s.message.frame_id, s.message.child_frame_id) for s in heard.odometry)
    (frame, child), _ = frames.most_common(1)[0]
    if len(frames) > 1:
        both = " and ".join(f"{frame!r} > {child!r}" for frame, child in frames)
        do = "have the driver use one pair of frames, such as odom and base_link"
        return wrong("frames", f"the frames of odometry change: {both}", do)
    if not frame:
        return wrong(
            "frames", "odometry has no frame_id", "set the driver's odom frame, usually odom_frame_id: odom"
        )
    if not child:
        return note("frames", f"{frame!r}, without child_frame_id: the twist is taken to be the base's own")
    if frame == child:
        says = f"pose and twist of odometry are both in {frame!r}"
        do = "set child_frame_id in the driver to the base's frame, usually base_frame_id: base_link"
        return wrong("frames", says, do)
    if frame.strip("/") == "map":
        return note(
            "frames", "odometry is in 'map': its pose may jump when the robot is localised", "use odom's own"
        )
    return ok("frames", f"{frame} > {child}")


def _stamps(heard: Listened) -> tuple[Finding, bool]:
    """And whether the stamps are those of /clock."""
    stamps = np.array([sample.message.stamp for sample in heard.odometry], dtype=float)
    ages = np.array([[s.system, s.simulated] for s in heard.odometry]) - stamps[:, None]
    system, simulated = (float(np.median(age)) for age in ages.T)  # NaN where /clock was not there throughout
    if not stamps.any():
        return note(
            "stamps", "odometry carries no stamps: the time of arrival is used", "have the driver stamp it"
        ), False
    if -FUTURE <= system <= MAX_AGE:
        return ok("stamps", f"{1e3 * system:.0f} ms old on arrival"), False
    if -FUTURE <= simulated <= MAX_AGE:
        return note(
            "stamps", "those of /clock", "ros2 launch mppi_maml_ros bringup.launch.py use_sim_time:=true"
        ), True
    where = (
        f"{system:.2f} s old on arrival" if system > 0 else f"{-system:.2f} s ahead of this machine's clock"
    )
    if np.isfinite(simulated):
        where += f", and {simulated:.2f} s behind /clock"
    do = "sudo apt install chrony on both machines, and chronyc tracking; a simulation has to publish /clock"
    return wrong("stamps", f"odometry is {where}", do), False


def _contents(heard: Listened, simulated: bool) -> list[Finding]:
    """Values, and whether twist, pose and commands fit each other."""
    first = heard.odometry[0].message
    checks = OdometryChecks(
        attrs.evolve(
            FASTEST, odom_frame=first.frame_id or "odom", base_frame=first.child_frame_id or "base_link"
        )
    )
    told: dict[Reason, str] = {}
    samples: list[Odometry] = []
    # Age is judged apart; here the stamps are the clock, where there are any.
    for sample in heard.odometry:
        stamp = sample.message.stamp
        verdict = checks.check(sample.message, stamp if stamp and np.isfinite(stamp) else sample.system)
        if verdict.odometry is not None:
            samples.append(verdict.odometry)
        else:
            told.setdefault(verdict.reason, verdict.message)
    found, counts = [], checks.counts
    for reason, message in told.items():
        if reason is Reason.FRAME:
            continue  # told of already
        share = counts[reason] / len(heard.odometry)
        says = f"{message} ({counts[reason]} of {len(heard.odometry)} messages)"
        finding = wrong if share > FEW else note
        found.append(finding("odometry", says, _REMEDIES.get(reason, f"ros2 topic echo {heard.odom.name}")))
    if not found:
        found.append(ok("odometry", f"{len(samples)} messages, each of them usable"))
    if len(samples) < 2:
        return found
    return [*found, *_twist(heard, samples, simulated)]


_REMEDIES = {
    Reason.TELEPORT: "odometry must not jump: publish the localised pose on another topic than the driver's",
    Reason.DUPLICATE: "the driver sends a measurement twice: publish once a measurement",
    Reason.OUT_OF_ORDER: "stamp each message when it is measured; one publisher alone on the topic",
    Reason.HANGING: "restart the base's driver: its pose is stuck",
}


def _twist(heard: Listened, samples: Sequence[Odometry], simulated: bool) -> list[Finding]:
    offset = float(
        np.median([s.system - s.message.stamp for s in heard.odometry if s.message.stamp] or [0.0])
    )
    late = 0.0 if abs(offset) <= MAX_AGE else offset  # commands on the clock of odometry, whatever that is
    commands = [(c.simulated if simulated else c.system - late, np.array(c.values)) for c in heard.commands]
    moved = _moved(samples)
    commanded = _commanded(heard.commands)
    if not moved.any():
        if (commanded > STANDS).any():
            says = f"the robot stands although it has been commanded to move for {commanded.max():.1f} s"
            do = f"emergency stop, battery, brakes; ros2 topic info -v {heard.cmd_vel.name}"
            return [wrong("motion", says, do)]
        do = "drive it about by hand, to and fro and turning, during: mppi-maml doctor --duration 20"
        return [note("twist", "the robot stood still: twist and pose could not be compared", do)]
    wrongs = contradictions(samples, commands)
    if wrongs:
        do = "have the driver publish what its encoders measure; until then set twist_source: pose"
        return [wrong("twist", "; ".join(map(str, wrongs.values())), do)]
    return [ok("twist", "it says what the pose does")]


def _moved(samples: Sequence[Odometry]) -> Array:
    """Whether pose or twist say that the robot moved, by axis."""
    twist = np.abs([sample.twist for sample in samples]).max(axis=0)
    poses = np.array([sample.pose for sample in samples])
    way = np.hypot(*(poses[:, :2] - poses[0, :2]).T).max(), np.abs(np.unwrap(poses[:, 2]) - poses[0, 2]).max()
    return (twist > MOVING) | (np.array(way) > MOVING)


def _commanded(commands: Sequence[Command]) -> Array:
    """For how long motion was commanded, by axis [s]."""
    if len(commands) < 2:
        return np.zeros(2)
    steady, values = np.array([c.steady for c in commands]), np.abs([c.values for c in commands])
    return (np.minimum(np.diff(steady), 0.5)[:, None] * (values[:-1] > MOVING)).sum(axis=0)


def _listeners(heard: Listened) -> list[Finding]:
    topic = heard.cmd_vel.name
    bases = [e for e in heard.cmd_vel.subscribers if not e.node.rsplit("/", 1)[-1].startswith(WATCHERS)]
    takers = [base for base in bases if base.kind in COMMANDS]
    if not bases:
        others = heard.elsewhere[1]
        do = f"start the base's driver; ros2 topic info -v {topic}"
        if others:
            do = f"ros2 launch mppi_maml_ros bringup.launch.py cmd_vel_topic:={others[0]} "
            do += f"(velocities are heard on {', '.join(others)})"
        return [wrong("cmd_vel", f"nobody listens to {topic}", do)]
    if not takers:
        says = f"{_names(bases)} takes {bases[0].kind} on {topic}, we send {' or '.join(COMMANDS)}"
        return [wrong("cmd_vel", says, "put a converter between, or have the base take Twist")]
    found = []
    if deaf := [base for base in takers if base.kept]:
        says = f"{_names(deaf)} asks for transient local commands on {topic}, and hears no others"
        found.append(wrong("cmd_vel", says, "set the durability of the base's subscription to volatile"))
    kinds = sorted({base.kind for base in takers})
    if len(kinds) > 1:
        says = f"{topic} is heard as {' and as '.join(kinds)}: one of both will hear nothing"
        do = f"stop one of {_names(takers)}, or choose with cmd_vel_type:={COMMANDS[kinds[-1]]}"
        found.append(wrong("cmd_vel", says, do))
    return found or [ok("cmd_vel", f"{_names(takers)} takes {kinds[0]} on {topic}")]


def _commanders(heard: Listened) -> list[Finding]:
    topic, publishers = heard.cmd_vel.name, heard.cmd_vel.publishers
    ours = [publisher for publisher in publishers if _is_ours(publisher)]
    others = [publisher for publisher in publishers if not _is_ours(publisher)]
    found = []
    if len({publisher.node for publisher in publishers}) > 1 or len(ours) > 1:
        says = f"{topic} is published by {_names(publishers)}: only one may drive the robot"
        found.append(
            wrong("commands", says, f"stop the others, or remap them and put a multiplexer before {topic}")
        )
    elif others:
        says = f"{_names(others)} publishes on {topic}"
        found.append(note("commands", says, f"stop it before {OURS} starts: only one may drive the robot"))
    wanted = {base.kind for base in heard.cmd_vel.subscribers if base.kind in COMMANDS}
    for publisher in publishers:
        if wanted and publisher.kind not in wanted:
            (kind, *_) = sorted(wanted)
            says = f"{publisher.node} sends {publisher.kind} on {topic}, where {kind} is taken"
            found.append(
                wrong("commands", says, f"cmd_vel_type:={COMMANDS[kind]}, or auto, where it is ours")
            )
    unreliable = [publisher for publisher in publishers if not publisher.reliable]
    strict = [base for base in heard.cmd_vel.subscribers if base.reliable]
    if unreliable and strict:
        says = f"{_names(unreliable)} sends best effort on {topic}, and {_names(strict)} hears reliable alone"
        found.append(wrong("commands", says, f"make both reliable; ros2 topic info -v {topic}"))
    if not any(node.rsplit("/", 1)[-1] == OURS for node in heard.nodes):
        do = "ros2 launch mppi_maml_ros bringup.launch.py"
        found.append(note("commands", f"{OURS} does not run", do))
    return found or [ok("commands", f"from {OURS} alone")]


def _system_clock(heard: Listened) -> Finding:
    if abs(heard.jump) > JUMP:
        says = f"the system clock jumped by {heard.jump:+.2f} s within {heard.duration:g} s"
        return wrong(
            "clock", says, "chronyc tracking: let chrony slew (makestep 1 3 in chrony.conf), not step"
        )
    return ok("clock", "ran evenly")
