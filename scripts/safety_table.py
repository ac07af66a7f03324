"""Writes docs/safety.md from the table below and from the tests that are marked with its rows.

    .venv/bin/python scripts/safety_table.py           # write
    .venv/bin/python scripts/safety_table.py --check   # 1 when the file is not up to date

A test proves a row by ``@pytest.mark.fault(number)``. Tests are read, not run.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "safety.md"

# number: (fault, what the robot does, what reports it)
ROWS = {
    1: ("no odometry at start", "stands: only zero is published", "WAITING_FOR_ODOMETRY"),
    2: (
        "odometry stops mid-run",
        "stop begins within 0.25 s of the last good message; resumes after 5 good messages and a second",
        "ODOMETRY_TIMEOUT",
    ),
    3: (
        "odometry stutters at the timeout edge",
        "hysteresis: at most one transition a second",
        "ODOMETRY_TIMEOUT",
    ),
    4: (
        "NaN or infinity in any odometry field",
        "dropped, counted, in no buffer; stop if it persists",
        "ODOMETRY_INVALID",
    ),
    5: (
        "quaternion zero or not of unit length",
        "normalised within 1e-2, else dropped; stop if it persists",
        "ODOMETRY_INVALID",
    ),
    6: (
        "teleport, farther than the limits allow",
        "flagged, not learned from, warm start reset; a figure that began at the robot goes along; "
        "stop if repeated",
        "ODOMETRY_TELEPORT",
    ),
    7: ("yaw wraps at ±π", "drives on; no bump in the residual", "no fault"),
    8: ("stamps out of order", "the newest state stays; not learned from", "counted"),
    9: (
        "the same stamp twice",
        "skipped without a division; does not keep the watchdog alive",
        "counted; ODOMETRY_STALE or ODOMETRY_TIMEOUT when nothing else comes",
    ),
    10: ("stamp zero", "the time of arrival is used", "one warning in the log"),
    11: ("stamp more than 0.1 s ahead", "dropped; the stop is not postponed", "ODOMETRY_FUTURE"),
    12: ("old stamp on a fresh message", "stop", "ODOMETRY_STALE"),
    13: (
        "the clock jumps back",
        "buffers, warm start and reference begin anew; zero until odometry is fresh",
        "CLOCK_JUMP",
    ),
    14: (
        "the clock jumps ahead",
        "stop until odometry is fresh; nothing is learned across the gap",
        "CLOCK_JUMP",
    ),
    15: ("`/clock` stands still", "a steady clock stops the robot; resumes cleanly", "CLOCK_PAUSED"),
    16: ("wrong or empty frame ids", "dropped; the reason names both frames", "ODOMETRY_FRAME"),
    17: (
        "two publishers of odometry",
        "stop until there is one",
        "MULTIPLE_ODOMETRY_PUBLISHERS, ERROR diagnostic",
    ),
    18: ("empty path", "stop", "INVALID_PATH"),
    19: ("NaN in a path", "the whole path is refused; stop", "INVALID_PATH"),
    20: ("one pose, or all poses the same", "drives to that pose", "GOAL_REACHED"),
    21: ("path of a million poses", "bounded work; the period holds", "no fault"),
    22: ("path in another frame, or far away", "refused, or zero", "INVALID_PATH, FAR_FROM_PATH"),
    23: ("no progress for 10 s", "stop until progress, a new goal or a reset", "FAILED_TO_MAKE_PROGRESS"),
    24: (
        "every rollout cost is NaN or infinite",
        "reset and so many retries within the period, then stop",
        "NO_VALID_CONTROL",
    ),
    25: (
        "command NaN or above a limit",
        "zero or the limit is published, never silence",
        "NO_VALID_CONTROL or none",
    ),
    26: (
        "exception in a control step",
        "zero in the same cycle; the node lives; three in a row hold the stop",
        "CONTROL_EXCEPTION",
    ),
    27: (
        "control overrun",
        "missed ticks are not made up for; stop after more than three in a row",
        "late_cycles, CONTROL_OVERRUN with the real rate",
    ),
    28: (
        "weights file cut off or damaged",
        "refused by checksum; the old model serves",
        "ArtifactError, INVALID_FORMAT",
    ),
    29: (
        "wrong shape, type, keys or version of weights",
        "refused; the message names the tensor",
        "ArtifactError, INVALID_FORMAT, WRONG_MODEL",
    ),
    30: ("a pickle, or a renamed .pt", "refused; nothing is ever unpickled", "ArtifactError"),
    31: ("header bomb, 10 GB file", "refused by its size before anything is allocated", "ArtifactError"),
    32: ("model name that leads elsewhere, or a link", "refused", "INVALID_ARGUMENT"),
    33: ("NaN or huge weights offered", "refused; the version stays", "NOT_FINITE, TOO_LARGE"),
    34: ("swap during a control step", "a step uses one snapshot from end to end", "weights_version"),
    35: (
        "a hundred concurrent swaps",
        "one after the other; versions only grow; no deadlock",
        "weights_version",
    ),
    36: (
        "a finite but bad model serves",
        "judged on fresh data against what it replaced; rolled back when worse",
        "ROLLED_BACK",
    ),
    37: (
        "adaptation diverges",
        "gradients clipped; a candidate that does not beat the prior on held-out data is rejected",
        "REJECTED_NOT_FINITE, REJECTED_NORM, REJECTED_HELD_OUT",
    ),
    38: ("the robot stands still", "no update, no drift", "SKIPPED_NO_EXCITATION, SKIPPED_TOO_FEW_SAMPLES"),
    39: (
        "saturated command, stop or teleport in the data",
        "those samples are left out",
        "samples_excluded by reason",
    ),
    40: (
        "adaptation slower than its period",
        "the tick is skipped and counted; control is another process",
        "SKIPPED_BUSY",
    ),
    41: (
        "adaptation node dead",
        "the last weights go on serving, or the prior after `weights_ttl`",
        "WARN diagnostic of `weights`",
    ),
    42: (
        "kill -9 of the controller",
        "the simulated base stops within 0.5 s; another controller starts at zero",
        "command_timed_out",
    ),
    43: ("kill -9 of the odometry source", "as 2", "ODOMETRY_TIMEOUT"),
    44: ("kill -9 while a model is saved", "the old file is intact; nothing partial can be loaded", "none"),
    45: ("disk full, folder not writable", "the save fails, the node lives, no litter", "SAVE_FAILED"),
    46: ("SIGINT, SIGTERM", "ramps to zero and publishes it before it ends; exit code 0", "SHUTDOWN"),
    47: ("bad launch parameter", "the node refuses to start and names it", "exit code 2"),
    48: (
        "parameter set out of range, NaN or infinite",
        "refused with the range; the old value stays; a set is all or nothing",
        "reason of the set",
    ),
    49: ("read-only parameter set while running", "refused", "reason of the set"),
    50: ("meta_train twice, or with bad arguments", "BUSY; refused with the range", "BUSY, INVALID_ARGUMENT"),
    51: (
        "hours of operation",
        "memory flat, buffers bounded, threads and files constant",
        "`mppi-maml soak`",
    ),
    52: (
        "a DDS participant restarts",
        "stop meanwhile; found again; no stale command is replayed",
        "ODOMETRY_TIMEOUT",
    ),
    53: ("incompatible QoS on a topic", "told, not silent", "ERROR diagnostic of `topics`"),
    54: (
        "odometry at 10 kHz",
        "250 messages a second are looked at; the period holds",
        "WARN diagnostic of `odometry`",
    ),
    55: (
        "accelerator lost or out of memory",
        "zero in the same cycle; no loop of crashes",
        "CONTROL_EXCEPTION",
    ),
    56: (
        "an unauthorised peer commands or offers weights",
        "denied under the shipped SROS2 policy",
        "[security.md](security.md)",
    ),
    57: (
        "anything on any topic, service or parameter",
        "no crash; no command that is not finite or beyond a limit",
        "`mppi-maml fuzz`",
    ),
    58: (
        "the twist of odometry contradicts its pose: zero, in the pose's frame, of another sign or scale, "
        "the command again, or hanging",
        "named; replaced by the pose's own rate (`twist_source`), or not learned from and the prior drives; "
        "what was learned from it is taken back",
        "ODOMETRY_TWIST, WARN diagnostics, SKIPPED_NOT_TRUSTED, ROLLED_BACK",
    ),
    59: (
        "pose and twist hang under fresh stamps while the twist says motion",
        "stop within half a second; goes on when the pose moves again",
        "ODOMETRY_HANGING",
    ),
    60: (
        "the clock of the base is behind: it answers commands before they are given",
        "the offset is estimated; nothing is learned, what was good before serves",
        "SKIPPED_NOT_TRUSTED with the offset, WARN diagnostic",
    ),
    61: (
        "the robot is held, or its base was stopped, while commands go on",
        "blocked: nothing is learned, the prior drives, the reference waits; then what was good serves again",
        "ROBOT_BLOCKED, SKIPPED_NOT_TRUSTED",
    ),
    62: ("the robot is pushed aside", "as 61; drives back", "ROBOT_BLOCKED, SKIPPED_NOT_TRUSTED"),
    63: (
        "an emergency stop is announced on `estop` (std_msgs/Bool)",
        "stop until it is released; nothing is learned meanwhile",
        "EMERGENCY_STOP, SKIPPED_NOT_TRUSTED",
    ),
    64: (
        "motors that give less than they should, or a reference that asks for more than the robot has",
        "figures and paths no faster than the robot can follow: late, but where they lie (`timing`)",
        "REFERENCE_SLOWED with what the robot reaches, WARN diagnostic of `control`, `reference_rate`",
    ),
    65: (
        "dead bands: small commands are not obeyed",
        "raised step by step to where the robot moves, which is remembered (`break_loose`)",
        "no fault",
    ),
    70: (
        "odometry slower than `odom_timeout` asks for, as 5 Hz",
        "stands; drives by prediction where `min_odometry_rate` allows",
        "ODOMETRY_TIMEOUT with the rate and what is needed; WARN diagnostic of `odometry`",
    ),
    71: (
        "quaternion a little off unit length, or no child_frame_id",
        "normalised; taken for the base",
        "one warning in the log",
    ),
    72: (
        "robot held while the planner replans",
        "stays stopped; a path to the same goal is no other try",
        "FAILED_TO_MAKE_PROGRESS",
    ),
    73: (
        "all-zero quaternions in a path",
        "no heading is wanted: the goal is reached at any",
        "GOAL_REACHED",
    ),
    74: ("noise of centimetres in a taught path", "smoothed out within `path_tolerance`", "no fault"),
    75: (
        "the robot does not move on a figure",
        "stop after `movement_time_allowance` until it moves or a reset",
        "FAILED_TO_MAKE_PROGRESS",
    ),
    76: (
        "the base wants another type of cmd_vel",
        "`cmd_vel_type: auto` takes that of the base; what nobody obeys is not learned from",
        "WARN diagnostic of `commands`, ERROR of `topics`, within 2 s",
    ),
    77: ("nobody listens to cmd_vel", "told", "WARN diagnostic of `commands`"),
    78: (
        "a second publisher of cmd_vel",
        "told with its name; interleaved commands are not learned from",
        "WARN diagnostics of `commands` and `adaptation`",
    ),
    79: (
        "nothing at all",
        "the four nodes alone find each other's topics compatible",
        "every status of `/diagnostics` is OK",
    ),
    80: (
        "a recording on two clocks, as of a simulation; a clock that jumps back in it",
        "commands are put on the clock of odometry, by `/clock` or by the times of recording",
        "the table of `mppi-maml meta-train --bags`",
    ),
    81: (
        "the base's clock is ahead or behind in a recording",
        "odometry and commands are taken at the time of recording; commands without any are refused",
        "the table of runs, with the offset",
    ),
    82: (
        "a recording of odometry that a drive would drop, or of a base that does not obey",
        "the checks of a drive; nothing is learned from an implausible response",
        "the table of runs, by reason",
    ),
    83: (
        "a useless recording among good ones",
        "it is left out, and training goes on with the others",
        "the table of runs: why, and what to do",
    ),
    84: (
        "a recorder is ended by a signal, killed, loses its terminal, its disk or power",
        "the bag is closed, or read but for the last second",
        "exit code, `mppi-maml report`",
    ),
    85: (
        "a bag without metadata.yaml, cut off, damaged or none at all",
        "what is whole is read, else one sentence with the next step",
        "the table of runs, `mppi-maml report`",
    ),
    86: (
        "a bag with several odometry or command topics",
        "the usual name or the option chooses; nothing is guessed",
        "`mppi-maml report`, which names them",
    ),
    87: (
        "a topic with two types, a type that is not installed, a name that is none",
        "both are recorded, the others are, or one sentence",
        "`mppi-maml record`",
    ),
    88: (
        "the base goes on by its last command and hears no other",
        "told after 1.2 s; nothing is learned, the kinematic model drives, then what was good serves again",
        "ROBOT_BLOCKED, SKIPPED_NOT_TRUSTED",
    ),
    89: (
        "the middleware hangs while a node is destroyed, with Python's lock held",
        "the last command is zero and was sent; the process is ended after 5 s",
        "exit code -14",
    ),
}

NOTES = {
    45: "A full disk is simulated by a limit on the size of files (RLIMIT_FSIZE) and by errors of each call.",
    51: "Simulated time: hours pass in minutes, on one clock for everything.",
    55: "Simulated by the errors that such a loss raises. The control step runs on the CPU, and neither the "
    "controller nor the adaptation node imports an accelerator library, which their process tests assert.",
    58: "Where twist and pose agree by chance, as on a straight line along x, nothing is seen nor wrong.",
    60: "The delay of the base hides as much of the offset.",
    84: "A full disk is simulated by RLIMIT_FSIZE; a loss of power by what was synchronised with the disk.",
    56: "The policy's lists are held against the graph of the running nodes; enforcing them is SROS2's part.",
}

HEAD = """# Safety: what can go wrong, what the robot does, and the proof

<!-- Written by scripts/safety_table.py from the tests' marks; do not edit. -->

*Stop* means: the command ramps within the acceleration limit to an exact zero, zero goes on being published,
and `~/status` says why ([codes](../msg/ControllerStatus.msg)). What the adaptation node decided is in its
[status](../msg/AdaptationStatus.msg), what became of an offer in [SwapWeights](../srv/SwapWeights.srv).
`/diagnostics` has one status a concern, and the log one line a transition.

Try it: `mppi-maml demo --fault odom_stop@10+3` or `--fault twist_frame` breaks things in the demo
(`--fault list` shows what), `mppi-maml fuzz` throws anything at the four nodes, `mppi-maml soak` runs for
simulated hours, and `pytest -m fault` runs every proof. `scripts/mutation.py` changes the checks one by one
and sees whether a test notices ([result](results/mutation.md)). Results that are kept:
[ten minutes of fuzz](results/fuzz.json), [eight simulated hours of soak](results/soak.json):

![Memory, threads and open files over eight simulated hours: flat after the warm-up](images/soak.png)

"""


def proofs() -> dict[int, list[tuple[Path, str]]]:
    """Row -> (test file, test function), in the order of files and lines."""
    found = defaultdict(list)
    for path in sorted((ROOT / "test").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for number in _rows_of(node):
                    found[number].append((path.relative_to(ROOT), node.name))
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.param":
                # One case of a table-driven test: the test is the one that takes the table.
                for keyword in node.keywords:
                    for number in _marks(keyword.value):
                        found[number].append((path.relative_to(ROOT), ast.literal_eval(node.args[0])))
    return found


def _rows_of(function: ast.FunctionDef) -> list[int]:
    return [number for decorator in function.decorator_list for number in _marks(decorator)]


def _marks(node: ast.AST) -> list[int]:
    return [
        call.args[0].value
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fault"
    ]


def document() -> str:
    """The contents of docs/safety.md.

    Raises:
        ValueError: a row has no test, or a test proves a row that is not there.
    """
    found = proofs()
    missing = sorted(set(ROWS) - set(found))
    unknown = sorted(set(found) - set(ROWS))
    if missing or unknown:
        raise ValueError(f"rows without a test: {missing}; tests of rows that are not there: {unknown}")
    lines = ["| # | fault | what the robot does | reported by | tests |", "|---|---|---|---|---|"]
    for number, (fault, answer, status) in ROWS.items():
        lines.append(f"| {number} | {fault} | {answer} | {status} | [{len(found[number])}](#row-{number}) |")
    lines += ["", "## Proofs", ""]
    for number, (fault, _, _) in ROWS.items():
        lines += [
            f"### Row {number}",
            "",
            f"{fault[0].upper()}{fault[1:]}. {NOTES.get(number, '')}".rstrip(),
            "",
        ]
        files = defaultdict(list)
        for path, name in found[number]:
            files[path].append(name.removeprefix("test_").replace("_", " "))
        for path, names in files.items():
            lines.append(f"- [{path.name}](../{path.as_posix()}): {'; '.join(dict.fromkeys(names))}")
        lines.append("")
    return HEAD + "\n".join(lines)


def main() -> int:
    """Write or check the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when it is not up to date")
    check = parser.parse_args().check
    text = document()
    if check:
        return int(not DOCUMENT.exists() or DOCUMENT.read_text(encoding="utf-8") != text)
    DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
