"""A recording ends in order when it is asked to, and outlives what does not ask."""

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest
import rclpy
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

pytest.importorskip("rosbags.rosbag2")

from mppi_maml_ros import cli
from mppi_maml_ros.bags.bag import read_bag
from mppi_maml_ros.core.errors import InvalidValueError, MppiMamlError
from mppi_maml_ros.system.recorder import Recorder

PERIOD = 0.01  # [s] of each publisher


class Talker:
    """Publishes on one topic until closed; a participant of its own."""

    def __init__(self, kind, topic):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, args=[])
        self.node = rclpy.create_node("talker", context=self._context)
        self.publisher = self.node.create_publisher(kind, topic, 10)
        self._kind = kind
        self.node.create_timer(PERIOD, self._say)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _say(self):
        self.publisher.publish(self._kind())

    def _spin(self):
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def close(self):
        self._executor.shutdown()
        rclpy.try_shutdown(context=self._context)
        self._thread.join()


@pytest.fixture
def talk():
    talkers = []

    def start(kind=Twist, topic="/cmd_vel"):
        talkers.append(Talker(kind, topic))
        return talkers[-1]

    yield start
    for talker in talkers:
        talker.close()


def everything(topic, kind):
    return True


def wait_until(condition, process=None, timeout=40.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def holds(path, size):
    return lambda: path.exists() and path.stat().st_size > size


def whole(path):
    """A bag that rosbags itself reads, with nothing to remark."""
    bag = read_bag(path, everything)
    assert bag.remarks == () and (path / "metadata.yaml").exists()
    return bag


@pytest.mark.fault(84)
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1"])
def test_a_recording_ends_in_order_on_a_signal(tmp_path, start_command, talk, name):
    talk()
    process = start_command("record", str(tmp_path / "bag"), "--topic", "/cmd_vel")
    wait_until(holds(tmp_path / "bag" / "bag.mcap", 5000), process)
    process.send_signal(getattr(signal, name))
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    count = len(whole(tmp_path / "bag").messages)
    assert f"{count} messages in" in said and count > 20 and "Traceback" not in said


@pytest.mark.fault(84)
def test_a_recording_outlives_its_terminal(tmp_path, start_command, talk):
    talk()
    process = start_command("record", str(tmp_path / "bag"), "--topic", "/cmd_vel")
    pipe, process.stdout = process.stdout, None
    pipe.close()
    wait_until(holds(tmp_path / "bag" / "bag.mcap", 5000))
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=30) == 0
    assert len(whole(tmp_path / "bag").messages) > 20


@pytest.mark.fault(84)
def test_a_recording_that_is_killed_is_read_but_for_its_last_second(tmp_path, start_command, talk, capsys):
    talk()
    process = start_command("record", str(tmp_path / "bag"), "--topic", "/cmd_vel")
    wait_until(holds(tmp_path / "bag" / "bag.mcap", 20_000), process)
    process.kill()
    killed = time.time()
    process.wait()
    bag = read_bag(tmp_path / "bag", everything)
    assert bag.messages[-1].recorded * 1e-9 > killed - 1.0
    steps = [b.recorded - a.recorded for a, b in zip(bag.messages, bag.messages[1:])]
    assert max(steps) * 1e-9 < 0.5  # and nothing is missing before
    assert cli.main(["report", str(tmp_path / "bag"), "--out", str(tmp_path / "page.html")]) == 0
    assert "there is no metadata.yaml" in capsys.readouterr().out


@pytest.mark.fault(84)
def test_what_is_recorded_is_on_the_disk_within_a_second(tmp_path, talk, monkeypatch):
    """What a loss of power leaves is what was synchronised."""
    kept = []
    sync = os.fsync

    def noted(file):
        sync(file)
        kept.append((time.time(), os.fstat(file).st_size))

    monkeypatch.setattr(os, "fsync", noted)
    talk()
    with Recorder(tmp_path / "bag", ["/cmd_vel"]) as recorder:
        recorder.run(30.0, lambda _: None, stop=lambda: sum(recorder.counts.values()) > 200)
        sizes = [size for _, size in kept]
        file = (tmp_path / "bag" / "bag.mcap").read_bytes()
    assert len(kept) >= 3 and sizes == sorted(sizes)
    gaps = [b - a for (a, _), (b, _) in zip(kept, kept[1:])]
    assert max(gaps) < 1.0
    (tmp_path / "left.mcap").write_bytes(file[: sizes[-1]])
    last = read_bag(tmp_path / "left.mcap", everything).messages[-1]
    assert last.recorded * 1e-9 > kept[-1][0] - 0.5


@pytest.mark.fault(84)
def test_a_full_disk_ends_a_recording_with_a_sentence_and_leaves_what_fitted(tmp_path, talk, root):
    talk()
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY)); "
        "from mppi_maml_ros.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "record", str(tmp_path / "bag"), "--topic", "/cmd_vel"],
        cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stdout
    assert "bag could not be written any more (File too large)" in " ".join(done.stdout.split())
    bag = read_bag(tmp_path / "bag", everything)
    assert len(bag.messages) > 100
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.fault(87)
def test_both_types_of_a_topic_are_recorded(tmp_path, talk):
    talk(Twist), talk(TwistStamped)
    with Recorder(tmp_path / "bag", ["/cmd_vel"]) as recorder:
        recorder.run(
            40.0,
            lambda _: None,
            stop=lambda: len(recorder.counts) == 2 and min(recorder.counts.values()) > 20,
        )
        counts = recorder.counts
    bag = whole(tmp_path / "bag")
    assert min(bag.topics.values()) > 20 and set(counts) == {
        "/cmd_vel (geometry_msgs/msg/Twist)",
        "/cmd_vel (geometry_msgs/msg/TwistStamped)",
    }
    assert len(bag.messages) == sum(bag.topics.values())


@pytest.mark.fault(87)
def test_a_type_that_is_not_installed_is_told_and_the_others_are_recorded(tmp_path, talk, monkeypatch):
    talk()
    with Recorder(tmp_path / "bag", ["/cmd_vel", "/odd", "/nothing"]) as recorder:
        node = recorder._node
        found = node.get_topic_names_and_types
        odd = ("/odd", ["odd_msgs/msg/Odd"])
        monkeypatch.setattr(node, "get_topic_names_and_types", lambda: [odd, *found()])
        recorder.run(40.0, lambda _: None, stop=lambda: sum(recorder.counts.values()) > 20)
        says = "odd_msgs/msg/Odd is not installed here: source the workspace that has it"
        assert recorder.remarks == {"/odd (odd_msgs/msg/Odd)": says}
        assert recorder.unheard == ["/nothing", "/odd"]
    assert len(whole(tmp_path / "bag").messages) > 20


@pytest.mark.fault(87)
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["record", "bag", "--namespace", "robot 1"], "a namespace has letters, .* got 'robot 1'"),
        (["record", "bag", "--topic", "bad topic!"], "a topic has letters, .* got 'bad topic!'"),
        (["record", "bag", "--topic", ""], "a topic has letters, .* got ''"),
        (["live", "--namespace", "2nd"], "a namespace has letters, .* got '2nd'"),
    ],
)
def test_a_name_that_is_none_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(says, line) and not list(tmp_path.iterdir())


def test_a_folder_that_exists_or_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(MppiMamlError, match="exists: choose another name"):
        Recorder(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(MppiMamlError, match="cannot be made: Not a directory"):
        Recorder(tmp_path / "file" / "bag")
    with pytest.raises(InvalidValueError, match="a topic has"):
        Recorder(tmp_path / "bag", ["a b"])


def test_the_robot_of_a_namespace_is_recorded(tmp_path, talk):
    talk(topic="/robot1/cmd_vel")
    with Recorder(tmp_path / "bag", ["cmd_vel"], "robot1") as recorder:
        recorder.run(40.0, lambda _: None, stop=lambda: sum(recorder.counts.values()) > 20)
    assert set(whole(tmp_path / "bag").topics) == {("/robot1/cmd_vel", "geometry_msgs/msg/Twist")}
