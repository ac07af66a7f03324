"""Tasks from recorded runs: what is in the bag is what is learned from, in either storage."""

import numpy as np
import pytest

pytest.importorskip("torch")
rosbags = pytest.importorskip("rosbags.rosbag2")

from rosbags.typesys import Stores, get_typestore  # noqa: E402 - after the check for rosbags

from mppi_maml_ros.core.errors import InvalidValueError, MppiMamlError  # noqa: E402
from mppi_maml_ros.core.types import VelocityLimits  # noqa: E402
from mppi_maml_ros.meta.tasks.recordings import RecordedTasks, read_run  # noqa: E402
from mppi_maml_ros.meta.tasks.worlds import transitions_of  # noqa: E402
from mppi_maml_ros.simulation.commands import tracking_commands  # noqa: E402
from mppi_maml_ros.simulation.world import WorldParameters, simulate_batch  # noqa: E402

DT, STEPS = 0.05, 300
START = 1_700_000_000.0  # [s] stamps of a real robot are large


def drive(seed=0):
    limits = VelocityLimits(vx_max=1.0, vx_min=-0.3, wz_max=1.5)
    commands = tracking_commands(np.random.default_rng(seed), 1, STEPS, DT, limits)
    parameters = WorldParameters(lag_v=0.3, lag_omega=0.2).as_vector()[None]
    states, _ = simulate_batch(parameters, commands, DT, np.array([seed]))
    return states, commands


def record(path, storage="SQLITE3", seed=0, stamped=False, odom="/odom", cmd="/cmd_vel", gap=None):
    """A bag of a drive; odometry at each step and the command just after."""
    states, commands = drive(seed)
    store = get_typestore(Stores.LATEST)
    kinds = {name.split("/")[-1]: store.types[name] for name in (
        "nav_msgs/msg/Odometry", "geometry_msgs/msg/Twist", "geometry_msgs/msg/TwistStamped",
        "std_msgs/msg/Header", "builtin_interfaces/msg/Time", "geometry_msgs/msg/Vector3",
        "geometry_msgs/msg/PoseWithCovariance", "geometry_msgs/msg/TwistWithCovariance",
        "geometry_msgs/msg/Pose", "geometry_msgs/msg/Point", "geometry_msgs/msg/Quaternion",
    )}  # fmt: skip

    def header(stamp):
        seconds = int(stamp)
        return kinds["Header"](stamp=kinds["Time"](sec=seconds, nanosec=round((stamp - seconds) * 1e9)),
                               frame_id="odom")  # fmt: skip

    def twist(v, omega):
        vector = kinds["Vector3"]
        return kinds["Twist"](linear=vector(x=v, y=0.0, z=0.0), angular=vector(x=0.0, y=0.0, z=omega))

    name = "geometry_msgs/msg/TwistStamped" if stamped else "geometry_msgs/msg/Twist"
    with rosbags.Writer(path, version=9, storage_plugin=rosbags.StoragePlugin[storage]) as writer:
        odometry = writer.add_connection(odom, "nav_msgs/msg/Odometry", typestore=store)
        command = writer.add_connection(cmd, name, typestore=store)
        for k in range(STEPS):
            if gap is not None and gap[0] <= k < gap[1]:
                continue
            stamp, (x, y, yaw, v, omega) = START + k * DT, states[0, k].tolist()
            pose = kinds["Pose"](
                position=kinds["Point"](x=x, y=y, z=0.0),
                orientation=kinds["Quaternion"](x=0.0, y=0.0, z=np.sin(yaw / 2), w=np.cos(yaw / 2)),
            )
            message = kinds["Odometry"](
                header=header(stamp), child_frame_id="base_link",
                pose=kinds["PoseWithCovariance"](pose=pose, covariance=np.zeros(36)),
                twist=kinds["TwistWithCovariance"](twist=twist(v, omega), covariance=np.zeros(36)),
            )  # fmt: skip
            nanoseconds = round(stamp * 1e9)
            data = store.serialize_cdr(message, "nav_msgs/msg/Odometry")
            writer.write(odometry, nanoseconds, data)
            sent = twist(*commands[0, k].tolist())
            if stamped:
                sent = kinds["TwistStamped"](header=header(stamp), twist=sent)
            writer.write(command, nanoseconds, store.serialize_cdr(sent, name))
    return path


@pytest.mark.parametrize("storage", ["SQLITE3", "MCAP"])
@pytest.mark.parametrize("stamped", [False, True])
def test_a_recorded_drive_gives_the_transitions_that_were_driven(tmp_path, storage, stamped):
    data = read_run(record(tmp_path / "run", storage, stamped=stamped)).transitions
    states, commands = drive()
    inputs, residuals = transitions_of(states, commands, 4, DT)
    found = np.rint(data.stamps / DT).astype(int)
    assert len(data) > 200
    expected = inputs[0, found - 4]
    assert data.inputs == pytest.approx(expected, abs=1e-5)
    assert data.residuals[:, :2] == pytest.approx(residuals[0, found - 4, :2], abs=1e-5)


def test_topics_can_be_named_and_what_is_missing_is_told_with_what_is_there(tmp_path):
    path = record(tmp_path / "run", odom="/base/odometry", cmd="/base/command")
    assert len(read_run(path, "/base/odometry", "/base/command").transitions) > 200
    with pytest.raises(
        InvalidValueError, match=r"Odometry on /odom; it holds /base/command .*/base/odometry"
    ):
        read_run(path, cmd_topic="/base/command")
    with pytest.raises(InvalidValueError, match="TwistStamped on /base/command"):
        read_run(path, "/base/odometry", "/base/command", "geometry_msgs/TwistStamped")
    with pytest.raises(InvalidValueError, match="type of commands"):
        read_run(path, "/base/odometry", "/base/command", "std_msgs/String")


def test_a_file_that_is_no_bag_is_refused(tmp_path):
    (tmp_path / "run.mcap").write_bytes(b"not a bag at all")
    with pytest.raises(MppiMamlError, match="run.mcap"):
        read_run(tmp_path / "run.mcap")


def test_no_task_reaches_over_a_gap_and_held_out_tasks_share_no_data(tmp_path):
    paths = [record(tmp_path / "a", gap=(100, 140)), record(tmp_path / "b", "MCAP", seed=1)]
    tasks = RecordedTasks.read(paths)
    assert 40 <= tasks.steps <= 240
    training, held = tasks.pool(0, 50), tasks.pool(0, 50, held_out=True)
    assert training.inputs.shape == (50, tasks.steps, 12)
    # the commands of one step are the history of the next: a gap would break this
    assert np.allclose(training.inputs[:, :-1, 2:4], training.inputs[:, 1:, 4:6], atol=1e-5)
    rows = {row.tobytes() for row in training.inputs.reshape(-1, 12)}
    assert not rows & {row.tobytes() for row in held.inputs.reshape(-1, 12)}
    assert np.array_equal(tasks.pool(3, 5).inputs, tasks.pool(3, 5).inputs)


def test_too_short_a_run_is_refused_with_the_length_that_is_needed(tmp_path):
    with pytest.raises(InvalidValueError, match=r"40 transitions .* 2 s"):
        RecordedTasks.read([record(tmp_path / "run", gap=(30, 300))])


def test_meta_training_on_recorded_runs_makes_an_artifact_that_names_them(tmp_path, monkeypatch):
    from mppi_maml_ros import cli
    from mppi_maml_ros.meta import recipe
    from mppi_maml_ros.weights.meta_model import MetaModel

    for name, count in (("PHYSICS_TASKS", 200), ("POOL_TASKS", 20), ("HELD_OUT_TASKS", 5)):
        monkeypatch.setattr(recipe, name, count)
    record(tmp_path / "a"), record(tmp_path / "b", "MCAP", seed=1)
    monkeypatch.chdir(tmp_path)
    arguments = ["meta-train", "--bags", "a", "b", "--iterations", "3", "--networks", "maml,grbal",
                 "--task-batch-size", "2", "--out", "mine.safetensors"]  # fmt: skip
    assert cli.main(arguments) == 0
    meta = MetaModel.load(tmp_path / "mine.safetensors")
    assert sorted(meta.networks) == ["grbal", "maml"]
    sources = meta.provenance["distribution"]["sources"]
    assert [source["name"] for source in sources] == ["a", "b"] and len(sources[0]["sha256"]) == 64
