"""The report of a bag is of one robot and one topic of each kind, and says which."""

import re
import sqlite3

import numpy as np
import pytest

pytest.importorskip("rosbags.rosbag2")

from mppi_maml_ros import cli
from mppi_maml_ros.core.errors import InvalidValueError, MppiMamlError
from mppi_maml_ros.system.bag_report import Choice, _line, _track, read_data, write_report

ODOMETRY, TWIST = "nav_msgs/msg/Odometry", "geometry_msgs/msg/Twist"


def test_a_report_says_what_it_read(tmp_path, record_drive, capsys):
    path = record_drive(tmp_path / "run", "MCAP")
    assert cli.main(["report", str(path), "--out", str(tmp_path / "page.html")]) == 0
    assert "odometry: /odom\ncommands: /cmd_vel\nwrote " in capsys.readouterr().out
    page = (tmp_path / "page.html").read_text()
    assert "<th>odometry<td>/odom<" in page and page.count("<canvas") == 3


@pytest.mark.fault(86)
def test_of_several_topics_the_one_with_the_usual_name_is_read_and_others_named(tmp_path, record_drive):
    path = record_drive(tmp_path / "run", also=[("/odom_noisy", ODOMETRY), ("/cmd_vel_nav", TWIST)])
    data, said = read_data(path)
    assert len(data["odom"]["t"]) == len(data["cmd_vel"]["t"]) == 300
    assert not (data["cmd_vel"]["v"] == 0.123).any()
    assert said["odometry"] == "/odom; not /odom_noisy" and said["commands"] == "/cmd_vel; not /cmd_vel_nav"
    data, said = read_data(path, Choice(odom_topic="odom_noisy", cmd_topic="/cmd_vel_nav"))
    assert (data["cmd_vel"]["v"] == 0.123).all() and said["odometry"] == "/odom_noisy; not /odom"


@pytest.mark.fault(86)
def test_of_several_topics_without_the_usual_name_none_is_guessed(tmp_path, record_drive, capsys):
    path = record_drive(tmp_path / "run", odom="/wheels", also=[("/fused", ODOMETRY)])
    says = "several topics are odometry, /fused, /wheels: name one with --odom-topic, or a robot"
    with pytest.raises(InvalidValueError, match=says):
        read_data(path)
    assert cli.main(["report", str(path), "--out", str(tmp_path / "page.html")]) == 1
    assert says in capsys.readouterr().err and not (tmp_path / "page.html").exists()
    assert len(read_data(path, Choice(odom_topic="/wheels"))[0]["odom"]["t"]) == 300
    with pytest.raises(InvalidValueError, match="no odometry on /odom; there is /fused, /wheels"):
        read_data(path, Choice(odom_topic="/odom"))


@pytest.mark.fault(86)
def test_of_two_robots_one_is_chosen_by_namespace(tmp_path, record_drive):
    also = [("/b/odom", ODOMETRY), ("/b/cmd_vel", TWIST)]
    path = record_drive(tmp_path / "run", odom="/a/odom", cmd="/a/cmd_vel", also=also)
    with pytest.raises(InvalidValueError, match=re.escape("/a/odom, /b/odom: name one")):
        read_data(path)
    data, said = read_data(path, Choice(namespace="b"))
    assert said["commands"] == "/b/cmd_vel; not /a/cmd_vel" and (data["cmd_vel"]["v"] == 0.123).all()


@pytest.mark.fault(86)
def test_of_two_types_on_one_topic_one_is_read_and_the_other_is_named(tmp_path, record_drive):
    path = record_drive(tmp_path / "run", stamped=True)
    other = record_drive(tmp_path / "other", steps=100)
    with sqlite3.connect(path / "run.db3") as database:
        database.execute("ATTACH ? AS other", (str(other / "other.db3"),))
        columns = "name, type, serialization_format, offered_qos_profiles, type_description_hash"
        database.execute(f"INSERT INTO topics SELECT 9, {columns} FROM other.topics WHERE name = '/cmd_vel'")
        database.execute(
            "INSERT INTO messages (topic_id, timestamp, data) SELECT 9, m.timestamp, m.data "
            "FROM other.messages m JOIN other.topics t ON m.topic_id = t.id WHERE t.name = '/cmd_vel'"
        )
    data, said = read_data(path / "run.db3")
    assert len(data["cmd_vel"]["t"]) == 300 and "not /cmd_vel as geometry_msgs/msg/Twist" in said["commands"]


@pytest.mark.fault(85)
@pytest.mark.parametrize("command", [["report"], ["meta-train", "--bags"]])
def test_what_is_no_bag_is_one_sentence_on_the_command_line(tmp_path, capsys, monkeypatch, command):
    if command[0] == "meta-train":
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    assert cli.main([*command, "run"]) == 1
    said = capsys.readouterr().err
    assert "run is no bag: it holds no .mcap or .db3 file" in said and "Traceback" not in said


@pytest.mark.fault(85)
def test_a_report_of_a_bag_that_was_cut_off_is_made_of_what_is_whole(tmp_path, record_drive, capsys):
    path = record_drive(tmp_path / "run", "MCAP") / "run.mcap"
    path.write_bytes(path.read_bytes()[:100_000])
    assert cli.main(["report", str(path), "--out", str(tmp_path / "page.html")]) == 0
    assert "remark: run.mcap is not whole" in capsys.readouterr().out
    assert "is not whole" in (tmp_path / "page.html").read_text()


def test_a_bag_of_something_else_is_refused_with_what_it_holds(tmp_path, record_drive):
    path = record_drive(tmp_path / "run")
    with sqlite3.connect(path / "run.db3") as database:
        database.execute("UPDATE topics SET type = 'std_msgs/msg/String'")
    with pytest.raises(MppiMamlError, match="no odometry, commands or status; it holds /cmd_vel, /odom"):
        read_data(path / "run.db3")


def test_costs_by_critic_are_read_from_the_diagnostics_of_the_controller(tmp_path):
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.LATEST)
    kind = "diagnostic_msgs/msg/DiagnosticArray"

    def array(name, **costs):
        make = store.types
        stamp = make["builtin_interfaces/msg/Time"](sec=1, nanosec=0)
        pairs = [make["diagnostic_msgs/msg/KeyValue"](key=key, value=value) for key, value in costs.items()]
        status = make["diagnostic_msgs/msg/DiagnosticStatus"](
            level=0, name=name, message="", hardware_id="", values=pairs
        )
        return make[kind](header=make["std_msgs/msg/Header"](stamp=stamp, frame_id=""), status=[status])

    with Writer(tmp_path / "run", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/diagnostics", kind, typestore=store)
        for k, message in enumerate(
            (
                array("adaptation: swaps", version="3"),
                array("mppi_controller: critics", tracking="1.5"),
                array("mppi_controller: critics", tracking="2.5", obstacles="0.25", twirling="0.0"),
            )
        ):
            writer.write(connection, (k + 1) * 10**9, store.serialize_cdr(message, kind))
    data, said = read_data(tmp_path / "run")
    assert said["costs by critic"] == "/diagnostics"
    costs = data["critics"]
    assert costs["t"].tolist() == [1.0, 2.0] and costs["tracking"].tolist() == [1.5, 2.5]
    assert np.isnan(costs["obstacles"][0]) and costs["obstacles"][1] == 0.25
    page = write_report(tmp_path / "run", tmp_path / "page.html").read_text()
    assert "What the chosen way costs" in page and page.count("<canvas") == 1
    assert '"twirling (0)"' in page and '"obstacles"' in page, "a critic without a line is named all the same"


def test_an_hour_is_thinned_and_keeps_its_peaks_and_its_gaps():
    t = np.linspace(0.0, 3600.0, 180_000)
    y = np.sin(t)
    y[123_456], y[60_000], y[90_000:100_000] = 9.0, -9.0, np.nan
    line = _line(t, y, "a")
    assert len(line["x"]) == len(line["y"]) <= 1500 and (np.diff(line["x"]) > 0.0).all()
    assert np.nanmax(line["y"]) == 9.0 and np.nanmin(line["y"]) == -9.0
    gap = (line["x"] > t[90_300]) & (line["x"] < t[99_700])
    assert gap.any() and np.isnan(line["y"][gap]).all() and np.isfinite(line["y"][~gap]).mean() > 0.99


def test_a_path_is_thinned_by_its_size_and_keeps_its_gaps():
    angle = np.linspace(0.0, 2.0 * np.pi, 50_000)
    x, y = 5.0 * np.cos(angle), 5.0 * np.sin(angle)
    x[20_000] = np.nan
    track = _track({"x": x, "y": y}, "a", "robot")
    assert len(track["x"]) < 1700 and np.isnan(track["x"]).sum() == 1
    assert np.nanmax(np.hypot(np.diff(track["x"]), np.diff(track["y"]))) < 2.0 * 10.0 / 500
    assert np.ptp(track["y"]) == pytest.approx(10.0, abs=1e-3)
