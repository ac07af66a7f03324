"""A recorded run: on one clock, with the checks of a drive, refused where no base can answer like that."""

import re

import numpy as np
import pytest

pytest.importorskip("rosbags.rosbag2")

from mppi_maml_ros.bags.response import responses
from mppi_maml_ros.bags.run import read_run
from mppi_maml_ros.core.errors import InvalidValueError, MppiMamlError
from mppi_maml_ros.meta.tasks.worlds import transitions_of

DT = 0.05
START = 1_700_000_000.0


def as_driven(run, driven, tolerance=1e-5):
    """The run's transitions are those of the drive."""
    states, commands = driven()
    inputs, residuals = transitions_of(states[None], commands[None], 4, DT)
    data = run.transitions
    found = np.rint(data.stamps / DT).astype(int)
    assert len(data) > 200
    assert data.inputs == pytest.approx(inputs[0, found - 4], abs=tolerance)
    assert data.residuals[:, :2] == pytest.approx(residuals[0, found - 4, :2], abs=tolerance)


@pytest.mark.parametrize("storage", ["SQLITE3", "MCAP"])
@pytest.mark.parametrize("stamped", [False, True])
def test_a_recorded_drive_gives_the_transitions_that_were_driven(
    tmp_path, record_drive, driven, storage, stamped
):
    run = read_run(record_drive(tmp_path / "run", storage, stamped=stamped))
    as_driven(run, driven)
    assert (run.remarks, run.refusal, run.advice) == ((), "", "")
    assert run.rate == pytest.approx(20.0, rel=1e-3) and run.duration == pytest.approx(299 * DT)


def test_topics_can_be_named_and_what_is_missing_is_told_with_what_is_there(tmp_path, record_drive):
    path = record_drive(tmp_path / "run", odom="/base/odometry", cmd="/base/command")
    assert len(read_run(path, "/base/odometry", "base/command").transitions) > 200
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


@pytest.mark.fault(80)
@pytest.mark.parametrize("pace", [1.0, 0.7, 2.5])
@pytest.mark.parametrize("clock", [False, True])
def test_odometry_in_simulated_time_and_commands_in_recorded_time_are_put_on_one_clock(
    tmp_path, record_drive, driven, pace, clock
):
    path = record_drive(
        tmp_path / "run",
        clock=clock,
        stamp=lambda t: t - START + 12.0,
        recorded=lambda t: START + (t - START) / pace,
    )
    run = read_run(path)
    as_driven(run, driven)
    (remark,) = run.remarks
    assert "odometry is stamped on a simulated clock" in remark
    assert ("by /clock" in remark) == clock and (f"at {pace:.2f} of its pace" in remark) == (pace != 1.0)


@pytest.mark.fault(80)
@pytest.mark.parametrize("cmd_stamp", [lambda t: t, lambda t: t - 3600.0, lambda t: 0.0])
def test_commands_stamped_by_yet_another_clock_count_from_their_recording(
    tmp_path, record_drive, driven, cmd_stamp
):
    path = record_drive(tmp_path / "run", stamped=True, stamp=lambda t: t - START + 12.0, cmd_stamp=cmd_stamp)
    as_driven(read_run(path), driven)


@pytest.mark.fault(80)
def test_a_simulation_whose_pace_changes_is_followed(tmp_path, record_drive, driven):
    def recorded(t):
        return START + (t - START) + 2.0 * np.sin((t - START) / 3.0)

    run = read_run(record_drive(tmp_path / "run", stamp=lambda t: t - START + 1.0, recorded=recorded))
    as_driven(run, driven, tolerance=0.05)


@pytest.mark.fault(81)
@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("ahead", [5.0, -0.3, -0.2, -3600.0])
def test_a_base_whose_clock_is_wrong_teaches_nothing_else_and_it_is_said(
    tmp_path, record_drive, driven, ahead, stamped
):
    path = record_drive(tmp_path / "run")
    right = responses(read_run(path).transitions)
    path = record_drive(tmp_path / "wrong", stamp=lambda t: t + ahead)
    run = read_run(path)
    for found, expected in zip(responses(run.transitions), right, strict=True):
        assert found.gain == pytest.approx(expected.gain, abs=0.02) and found.delay == expected.delay
        assert found.time_constant == expected.time_constant
    where = f"{abs(ahead):.2f} s {'ahead of' if ahead > 0.0 else 'behind'} the recorder's clock"
    assert where in " ".join(run.remarks) and not run.refusal


@pytest.mark.fault(81)
def test_a_response_before_its_command_is_told_and_the_times_of_recording_are_taken(tmp_path, record_drive):
    run = read_run(record_drive(tmp_path / "run", stamp=lambda t: t - 0.2))
    assert re.search("velocities follow 0.2[05] s before they are commanded", run.remarks[0])


@pytest.mark.fault(80)
def test_a_delay_on_the_way_is_no_other_clock(tmp_path, record_drive, driven):
    """Odometry that arrives 0.15 s late was true at its stamp."""
    run = read_run(record_drive(tmp_path / "run", stamp=lambda t: t, recorded=lambda t: t))
    late = read_run(record_drive(tmp_path / "late", stamped=True, recorded=lambda t: t + 0.15))
    assert late.remarks == () and np.array_equal(late.transitions.inputs, run.transitions.inputs)


@pytest.mark.fault(80)
def test_a_clock_that_jumps_back_in_the_middle_leaves_a_gap_and_no_more(tmp_path, record_drive):
    def stamp(t):
        return t - START + 100.0 - (95.0 if t > START + 7.0 else 0.0)

    run = read_run(record_drive(tmp_path / "run", stamp=stamp))
    assert len(run.transitions) > 200 and "jumped back (1 times)" in run.remarks[0]
    assert run.excluded["gap in odometry"] == 1


@pytest.mark.fault(82)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: setattr(m.pose.pose.orientation, "w", 3.0), "quaternion"),
        (lambda m: setattr(m.twist.twist.linear, "x", float("nan")), "not_finite"),
        (lambda m: setattr(m.pose.pose.position, "x", 1e9), "implausible"),
    ],
)
def test_odometry_passes_the_checks_of_a_drive(tmp_path, record_drive, change, reason):
    count = iter(range(300))
    run = read_run(record_drive(tmp_path / "run", edit=lambda m: next(count) % 50 == 49 and change(m)))
    assert run.excluded[reason] == 6 and len(run.transitions) > 200
    assert all(np.isfinite(run.transitions.inputs).ravel())


@pytest.mark.fault(82)
@pytest.mark.parametrize(
    ("commands", "says"),
    [
        (lambda u: -u, "linear.x .*a gain of -[01.9]+, plausible is .0.05, 5."),
        (
            lambda u: u / 40.0 * np.sign(np.arange(len(u)) % 40 - 19.5)[:, None],
            "does not follow the commands",
        ),
        (lambda u: 0.0 * u, "they explain less than 10% of what it does"),
        (lambda u: u * np.array([1.0, -1.0]), "angular.z of odometry does not follow"),
    ],
)
def test_a_base_that_answers_as_none_can_is_not_learned_from(tmp_path, record_drive, driven, commands, says):
    run = read_run(record_drive(tmp_path / "run", commands=commands(driven()[1])))
    assert re.search(says, run.refusal)


def test_messages_without_a_stamp_count_from_their_recording(tmp_path, record_drive, driven):
    as_driven(read_run(record_drive(tmp_path / "run", stamp=lambda t: 0.0)), driven)


@pytest.mark.fault(81)
def test_commands_without_any_time_are_refused(tmp_path, record_drive):
    path = record_drive(tmp_path / "run", stamp=lambda t: t - START + 5.0, recorded=lambda t: START)
    with pytest.raises(InvalidValueError, match="cannot be told their time; record TwistStamped"):
        read_run(path)


def test_a_bag_of_ros_1_is_read_too(tmp_path, record_drive, driven):
    from rosbags.convert import convert
    from rosbags.typesys import Stores, get_typestore

    convert(
        srcs=[record_drive(tmp_path / "run")],
        dst=tmp_path / "run.bag",
        dst_storage="sqlite3",
        dst_version=9,
        compress=None,
        compress_mode="file",
        default_typestore=None,
        typestore=get_typestore(Stores.ROS1_NOETIC),
        exclude_topics=[],
        include_topics=[],
        exclude_msgtypes=[],
        include_msgtypes=[],
    )
    as_driven(read_run(tmp_path / "run.bag"), driven)


@pytest.mark.fault(82)
def test_what_the_checks_let_pass_with_a_remark_is_told(tmp_path, record_drive, driven):
    def stretch(message):
        message.pose.pose.orientation.w *= 1.0005
        message.pose.pose.orientation.z *= 1.0005

    run = read_run(record_drive(tmp_path / "run", edit=stretch))
    as_driven(run, driven)
    (remark,) = run.remarks
    assert "norm 1.0005 instead of 1; it is normalised" in remark
