"""Isolation of the test session, and where its pieces are found.

Set before anything imports rclpy, for this process and for those that tests start: a DDS domain that
no other session on this machine uses, discovery on this machine only, logs in a folder that vanishes.
What the caller has set already stays.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples each time, so that a failure is there again tomorrow; others with
# --hypothesis-profile=random.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("random", derandomize=False)
settings.load_profile("repeatable")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A session in the background ignores it, and so would every process that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

NAME = "mppi_maml_ros"
ROOT = Path(__file__).resolve().parent.parent
TAPS, DT = 2, 0.05  # of the fixtures meta and drive
START = 1_700_000_000.0  # [s] stamps of a real robot are large
HANGS_AFTER = 900.0  # [s] longer than any test may take
STDERR = pytest.StashKey[int]()
DOMAINS = range(1, 102)  # above 101, DDS ports meet those that Linux hands out to anyone

HAS_ROS = importlib.util.find_spec("rclpy") is not None

# Folders whose modules import rclpy. Everything else is tested without a ROS installation as well.
collect_ignore = [] if HAS_ROS else ["nodes", "ros", "system"]
if importlib.util.find_spec("torch") is None:  # which driving does not need
    collect_ignore += [
        "adaptation/test_learning.py",
        "experiments/comparison",
        "mppi/rollouts/test_models.py",
    ]
    collect_ignore += ["dynamics/test_guide_example.py", "dynamics/test_robot_models.py"]


def reserve_domain() -> tuple[int, socket.socket | None]:
    """A domain id that no other test session on this machine holds, and what holds it.

    The name of an abstract socket is the lock: the kernel frees it with the process, whatever ends it.
    """
    for offset in range(len(DOMAINS)):
        domain = DOMAINS[(os.getpid() + offset) % len(DOMAINS)]
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0{NAME}/domain/{domain}")
        except OSError:
            lock.close()
            continue
        return domain, lock
    return DOMAINS[os.getpid() % len(DOMAINS)], None


if "ROS_DOMAIN_ID" not in os.environ:
    _domain, _domain_lock = reserve_domain()
    os.environ["ROS_DOMAIN_ID"] = str(_domain)
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
# Killed processes leave their shared memory behind, and containers have little of it.
os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
if "AMENT_PREFIX_PATH" not in os.environ and (Path(sys.prefix) / "share" / "ament_index").is_dir():
    os.environ["AMENT_PREFIX_PATH"] = sys.prefix
if "ROS_LOG_DIR" not in os.environ:
    _log_folder = tempfile.TemporaryDirectory(prefix=f"{NAME}_log_", ignore_cleanup_errors=True)
    os.environ["ROS_LOG_DIR"] = _log_folder.name


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(number): proves what is promised for a row of docs/safety.md")
    config.addinivalue_line("markers", "slow: takes more than some seconds; leave out with -m 'not slow'")
    config.addinivalue_line("markers", "end_to_end: starts the four nodes as processes")
    config.stash[STDERR] = os.dup(2)  # not captured yet


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """End the session, with the stacks of all threads, where a test hangs in a library.

    There no signal, by which pytest-timeout ends a test, is heard.
    """
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def pytest_report_header() -> str:
    if not HAS_ROS:
        return "ROS 2: none here, its tests are left out"
    return f"ROS 2: domain {os.environ['ROS_DOMAIN_ID']}, {os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE']}"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Compile the installed package's kernels before a test times nodes that would compile them at start.

    `make setup` did so; `colcon build` does not. Takes a second where they are compiled already.
    """
    started = ROOT / "test" / "system"
    if (
        HAS_ROS
        and not session.config.option.collectonly
        and any(started in item.path.parents for item in session.items)
    ):
        # from a folder that does not hold the sources: these would be imported instead
        command = [sys.executable, "-m", f"{NAME}.warm_up"]
        subprocess.run(command, cwd=tempfile.gettempdir(), check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def start_command(root: Path):
    """Starts ``mppi-maml`` with arguments as a process with a session of its own; killed at the end."""
    from mppi_maml_ros.system.processes import default_interrupt

    started = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen:
        search = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": search, "FORCE_COLOR": "1", **environment}
        environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
        code = f"import sys; from {NAME}.cli import main; sys.exit(main(sys.argv[1:]))"
        with default_interrupt():
            process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                cwd=root,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def demo_keys() -> set[str]:
    """What the demo's summary.json holds at least."""
    timing = {"control_ms_p50", "control_ms_p99", "late_fraction", "adapt_ms_p50"}
    return timing | {"rmse_kinematic", "rmse_adaptive", "swaps_accepted", "swaps_rejected", "seed"}


@pytest.fixture(scope="session")
def prefix() -> Path:
    """The prefix that the package is installed in: ``prefix/lib/mppi_maml_ros/<executable>``."""
    folders = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    for folder in (Path(folder) for folder in folders if folder):
        if (folder / "share" / "ament_index" / "resource_index" / "packages" / NAME).exists():
            return folder
    pytest.fail(
        f"{NAME} is in none of AMENT_PREFIX_PATH={folders}: run `make setup`, or source the workspace"
    )


@pytest.fixture
def meta():
    """A small meta-model with a broad physics prior; nothing is learned from disk."""
    import numpy as np

    from mppi_maml_ros.adaptation.starts import Starts
    from mppi_maml_ros.dynamics.features import feature_size, input_size
    from mppi_maml_ros.dynamics.identification.physics import PhysicsPrior
    from mppi_maml_ros.weights.meta_model import MetaModel

    rng = np.random.default_rng(0)
    size, inputs, hidden = feature_size(TAPS), input_size(TAPS), 8
    theta = (
        (rng.normal(size=(hidden, inputs)).astype(np.float32) / 3, np.zeros(hidden, np.float32)),
        (np.zeros((3, hidden), np.float32), np.zeros(3, np.float32)),
    )
    prior = PhysicsPrior(
        mean=np.zeros((1, 3, size)),
        covariance=np.tile(np.eye(size), (1, 3, 1, 1)),
        weight=[1.0],
        delay=[0.0],
        noise=np.array([[1e-6, 1e-6, 1e-4], [1e-4, 1e-4, 1e-2]]),
    )
    starts = Starts(
        output=np.arange(3.0), mean=np.zeros((3, size)), factor=np.tile(np.eye(size), (3, 1, 1)),
        curvature=np.ones((3, size)), noise=prior.noise,
    )  # fmt: skip
    return MetaModel(
        networks={"maml": theta, "physics+maml": theta, "mb": theta},
        input_scale=np.full(inputs, 2.0),
        output_scale={"maml": np.full(3, 0.2), "physics+maml": np.full(3, 0.02), "mb": np.full(3, 0.2)},
        noise=np.full(3, 1e-4),
        physics=prior,
        activation="tanh",
        delay_taps=TAPS,
        model_dt=DT,
        inner_lr=0.05,
        inner_steps=50,
        extras={"maml": starts.tensors()},
    )


@pytest.fixture
def drive():
    """Drives a plant with rich commands and feeds odometry and commands to callbacks."""
    import numpy as np

    from mppi_maml_ros.core.types import Odometry
    from mppi_maml_ros.dynamics.residual import step

    def run(add_odometry, add_command, plant, seconds=8.0, seed=0, noise=0.0, start=0.0):
        rng = np.random.default_rng(seed)
        state, history = np.array([1.0, -2.0, 2.5, 0.0, 0.0]), np.zeros((8, 2))
        results = []
        for k in range(int(seconds / DT)):
            t = start + k * DT
            measured = state + noise * rng.normal(size=5)
            results.append(add_odometry(Odometry(t, measured[:3], measured[3:])))
            command = np.array([0.5 + 0.3 * np.sin(1.3 * t), 0.6 * np.sin(0.7 * t)]) + 0.05 * rng.normal(
                size=2
            )
            add_command(t, command)
            state = step(plant, state, command, history)
            history = np.concatenate([command[None], history[:-1]])
        return results

    return run


@pytest.fixture(scope="session")
def driven():
    """States (301, 5) and commands (300, 2) of a drive with a lag of 0.3 and 0.2 s, in steps of DT."""
    import numpy as np

    from mppi_maml_ros.core.types import VelocityLimits
    from mppi_maml_ros.simulation.commands import tracking_commands
    from mppi_maml_ros.simulation.world import WorldParameters, simulate_batch

    def drive(seed=0, steps=300):
        limits = VelocityLimits(vx_max=1.0, vx_min=-0.3, wz_max=1.5)
        commands = tracking_commands(np.random.default_rng(seed), 1, steps, DT, limits)
        parameters = WorldParameters(lag_v=0.3, lag_omega=0.2).as_vector()[None]
        states, _ = simulate_batch(parameters, commands, DT, np.array([seed]))
        return states[0], commands[0]

    return drive


@pytest.fixture
def record_drive(driven):
    """Writes a bag of such a drive: odometry at each step and the command just after.

    ``stamp`` and ``recorded`` make stamps and times of recording [s] of the true time, which begins at
    START; ``clock`` adds /clock; ``also`` are further topics (name, type); ``edit`` may change odometry.
    """
    import numpy as np

    rosbag2 = pytest.importorskip("rosbags.rosbag2")
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.LATEST)

    def make(kind, **fields):
        return store.types[kind](**fields)

    def time(seconds):
        nanoseconds = round(seconds * 1e9)
        return make("builtin_interfaces/msg/Time", sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)

    def twist(v, omega):
        first, second = (
            make("geometry_msgs/msg/Vector3", x=x, y=0.0, z=z) for x, z in ((v, 0.0), (0.0, omega))
        )
        return make("geometry_msgs/msg/Twist", linear=first, angular=second)

    def write(
        path, storage="SQLITE3", seed=0, steps=300, stamped=False, odom="/odom", cmd="/cmd_vel", gap=None,
        every=1, stamp=lambda t: t, recorded=lambda t: t, clock=False, also=(), edit=lambda message: None,
        commands=None, compressed=False, begin=START, cmd_stamp=None,
    ):  # fmt: skip
        states, driven_by = driven(seed, steps)
        commands = driven_by if commands is None else commands
        name = "geometry_msgs/msg/TwistStamped" if stamped else "geometry_msgs/msg/Twist"
        writer = rosbag2.Writer(path, version=9, storage_plugin=rosbag2.StoragePlugin[storage])
        if compressed:
            writer.set_compression(rosbag2.CompressionMode.STORAGE, rosbag2.CompressionFormat.ZSTD)
        with writer:
            kinds = {odom: "nav_msgs/msg/Odometry", cmd: name, **dict(also)}
            if clock:
                kinds["/clock"] = "rosgraph_msgs/msg/Clock"
            connections = {t: writer.add_connection(t, kind, typestore=store) for t, kind in kinds.items()}

            def put(topic, t, message):
                data = store.serialize_cdr(message, kinds[topic])
                writer.write(connections[topic], round(recorded(t) * 1e9), data)

            for k in range(steps):
                if gap is not None and gap[0] <= k < gap[1]:
                    continue
                t, (x, y, yaw, v, omega) = begin + k * DT, states[k].tolist()
                header = make("std_msgs/msg/Header", stamp=time(stamp(t)), frame_id="odom")
                q = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=np.sin(yaw / 2), w=np.cos(yaw / 2))
                pose = make(
                    "geometry_msgs/msg/Pose",
                    position=make("geometry_msgs/msg/Point", x=x, y=y, z=0.0),
                    orientation=q,
                )
                message = make(
                    "nav_msgs/msg/Odometry",
                    header=header,
                    child_frame_id="base_link",
                    pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36)),
                    twist=make(
                        "geometry_msgs/msg/TwistWithCovariance",
                        twist=twist(v, omega),
                        covariance=np.zeros(36),
                    ),
                )
                edit(message)
                if clock:
                    put("/clock", t, make("rosgraph_msgs/msg/Clock", clock=time(stamp(t))))
                if k % every == 0:
                    put(odom, t, message)
                if cmd_stamp is not None:
                    header = make("std_msgs/msg/Header", stamp=time(cmd_stamp(t)), frame_id="base_link")
                sent = twist(*commands[k].tolist())
                put(cmd, t, make(name, header=header, twist=sent) if stamped else sent)
                for topic, kind in also:
                    if kind == "nav_msgs/msg/Odometry":
                        put(topic, t, message)
                    elif kind == "geometry_msgs/msg/Twist":
                        put(topic, t, twist(0.123, 0.0))
        return path

    return write
