"""Throws anything at all four nodes, as processes, and holds what they promise under it.

The fuzzer stands between the nodes: odometry reaches controller and adaptation through it, commands
reach robot and adaptation through it, and it calls every service and sets every parameter. Most of the
time it passes things on as they are, so that the robot drives; else it drops, repeats and spoils them.

Held all along: every process lives; each command of the controller is finite, within the limits of
velocity and, unless it is zero, of acceleration, and within the new ones where a limit was changed;
commands never fall silent; a request that is not a training run is answered. At the end the system must
drive again, and every process must end with code 0 and without a traceback.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import yaml
from std_srvs.srv import Trigger

from ..core.errors import InvalidValueError
from ..safety.codes import State
from ..srv import RandomizeWorld
from .fuzz_limits import LIMITS
from .fuzzer import NODES, Fuzzer, FuzzError
from .processes import ProcessGroup, config_file, executable, listening_in, private_domain, ros_environment

START_TIMEOUT = 90.0  # [s]
RECOVERED_WITHIN = 30.0  # [s] from the last nonsense to driving
_CYCLE = 8.0  # [s] of calm and storm
_AT_ONCE = 3  # actions before what passes through is passed on


@attrs.frozen
class FuzzSettings:
    """What to fuzz for how long.

    Attributes:
        duration: of the nonsense [s], in [1, 86400].
        seed: of everything that is random.
        rate: nonsense actions a second, in [1, 1000].
        out: folder for fuzz.json and the logs; None for none.
    """

    duration: float = 600.0
    seed: int = 0
    rate: float = 60.0
    out: Path | None = None

    def __attrs_post_init__(self) -> None:
        if not 1.0 <= self.duration <= 86400.0:
            raise InvalidValueError(f"duration must be in [1, 86400] s, got {self.duration}")
        if not 1.0 <= self.rate <= 1000.0:
            raise InvalidValueError(f"rate must be in [1, 1000] 1/s, got {self.rate}")


REMAPS = {
    "mppi_controller": ("cmd_vel:=controller/cmd_vel",),
    "dynamic_world": ("cmd_vel:=robot/cmd_vel", "odom:=robot/odom"),
    "adaptation": (),
    "meta_trainer": (),
}


def _start(group: ProcessGroup, folder: Path) -> None:
    parameters = {
        "mppi_controller": {"reference": "plan", "batch_size": 300},
        "adaptation": {"adapt_interval": 0.5},
        "dynamic_world": {},
        "meta_trainer": {"output_folder": str(folder / "artifacts")},
    }
    for node in NODES:
        file = folder / f"{node}.yaml"
        file.write_text(yaml.safe_dump({f"/{node}": {"ros__parameters": parameters[node]}}))
        command: list[str | Path] = [
            executable(node),
            "--ros-args",
            "--params-file",
            config_file(f"{node}.yaml"),
        ]
        command += ["--params-file", file]
        for remap in REMAPS[node]:
            command += ["-r", remap]
        group.start(node, command)


def _limits() -> dict[str, float]:
    (parameters,) = yaml.safe_load(config_file("mppi_controller.yaml").read_text()).values()
    return {name: parameters["ros__parameters"][name] for name in LIMITS}


def _until(
    fuzzer: Fuzzer, group: ProcessGroup, condition: Callable[[], bool], timeout: float, what: str
) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        fuzzer.spin(0.1)
        group.check()
        if time.monotonic() > deadline:
            status = fuzzer.status
            told = "nothing" if status is None else f"{State(status.state).name}, {status.reason!r}"
            raise FuzzError(f"not within {timeout:g} s: {what}; the controller says {told}")


def _drive(fuzzer: Fuzzer, group: ProcessGroup, timeout: float) -> None:
    sent = [0.0]

    def condition() -> bool:
        if time.monotonic() - sent[0] > 3.0:
            fuzzer.send_good_plan()
            sent[0] = time.monotonic()
        return fuzzer.driving()

    _until(fuzzer, group, condition, timeout, "the robot is driven")


def run_fuzz(settings: FuzzSettings, on_progress: Callable[[float, str], None]) -> dict:
    """Fuzz, hold every promise, and report.

    Args:
        settings: what to do.
        on_progress: is told the seconds of nonsense so far, and what was done.

    Returns:
        What was done and seen.

    Raises:
        FuzzError: a promise did not hold; ProcessDiedError: a node ended.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mppi_maml_fuzz_")))
        if settings.out is not None:
            settings.out.mkdir(parents=True, exist_ok=True)
            folder = settings.out.resolve()
            for old in folder.glob("*.log"):
                old.unlink()
        domain = stack.enter_context(private_domain())
        environment = ros_environment(domain, folder)
        stack.enter_context(listening_in(environment))
        group = stack.enter_context(ProcessGroup(environment, folder))
        fuzzer = Fuzzer(domain, settings.seed, _limits())
        stack.callback(fuzzer.close)
        begun = time.monotonic()
        _start(group, folder)
        _until(fuzzer, group, fuzzer.ready, START_TIMEOUT, "all services are there")
        fuzzer.learn_parameters()
        _drive(fuzzer, group, START_TIMEOUT)

        fuzzer.nonsense = True
        started, actions = time.monotonic(), 0
        while (elapsed := time.monotonic() - started) < settings.duration:
            fuzzer.storm = elapsed % _CYCLE > 0.5 * _CYCLE
            for _ in range(min(int(settings.rate * elapsed) - actions, _AT_ONCE)):
                fuzzer.act()
                actions += 1
            fuzzer.spin(0.02)
            fuzzer.check()
            group.check()
            on_progress(elapsed, f"{actions} actions, {fuzzer.commands} commands")
        fuzzer.nonsense = False

        on_progress(settings.duration, "recovering")
        with contextlib.suppress(FuzzError):
            fuzzer.ask("meta_trainer/cancel", Trigger.Request())
        fuzzer.restore_parameters()
        fuzzer.ask("mppi_controller/reset", Trigger.Request())
        request = RandomizeWorld.Request(seed=1, reset_pose=True)
        fuzzer.ask("dynamic_world/randomize", request)
        recovering, fuzzer.status = time.monotonic(), None
        _drive(fuzzer, group, RECOVERED_WITHIN)
        recovered = time.monotonic() - recovering
        if fuzzer.broken:
            raise FuzzError(fuzzer.broken)
        exits = group.stop()
        for name, process in group.members.items():
            if exits[name] != 0:
                raise FuzzError(f"after SIGINT, {process.complaint()}")
            if "Traceback" in process.tail(10**6):
                raise FuzzError(f"{name} printed a traceback; the end of its log:\n{process.tail()}")
        left = sorted(path.name for path in (folder / "artifacts").glob("*")) if folder else []
        litter = [name for name in left if not name.endswith(".safetensors") or name.startswith(".")]
        if litter:
            raise FuzzError(f"files were left behind: {', '.join(litter)}")
        report = {
            "duration": settings.duration,
            "seed": settings.seed,
            "seconds": time.monotonic() - begun,
            "actions": dict(fuzzer.counts),
            "commands": fuzzer.commands,
            "longest_silence": fuzzer.longest_silence,
            "states": dict(fuzzer.codes),
            "recovered_after": recovered,
            "exit_codes": exits,
        }
    if settings.out is not None:
        (settings.out / "fuzz.json").write_text(json.dumps(report, indent=2) + "\n")
    return report
