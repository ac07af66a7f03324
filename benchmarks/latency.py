"""End-to-end latency over DDS, with the installed nodes as processes of their own.

The commands carry the time of their control tick; this process notes when they arrive. From it and
from the controller's status come: tick to command received, stamp of the odometry used to command
received, the age of that odometry at the tick, late periods, and the memory of the controller.

    python benchmarks/latency.py --json latency.json
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import attrs
import click
import numpy as np
import rclpy
import yaml
from _machine import machine
from geometry_msgs.msg import TwistStamped
from mppi_maml_ros.msg import AdaptationStatus, ControllerStatus
from mppi_maml_ros.srv import MetaTrain
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mppi_maml_ros.system.demo import FIGURES, draw_world
from mppi_maml_ros.system.processes import ProcessGroup, config_file, private_domain, ros_environment

RUNNING = ControllerStatus.RUNNING
START_TIMEOUT = 60.0  # [s]
SETTLE = 5.0  # [s] of driving before the clock runs: the first adaptations compile and allocate


@attrs.frozen
class Case:
    """What runs: the controller's parameters, and who else is busy."""

    controller: dict
    adaptation: bool = True
    meta_trainer: bool = False
    odom_rate: float = 50.0


KINEMATIC = {"model": "kinematic", "batch_size": 1000, "time_steps": 30}
RESIDUAL = {"model": "residual", "controller_frequency": 50.0}
CASES = {
    "50 Hz, kinematic, alone": Case(KINEMATIC | {"controller_frequency": 50.0}, adaptation=False),
    "50 Hz, residual, adaptation every 2 s": Case(RESIDUAL),
    "50 Hz, residual, adaptation, meta-training": Case(RESIDUAL, meta_trainer=True),
    "100 Hz, kinematic, alone": Case(
        KINEMATIC | {"controller_frequency": 100.0}, adaptation=False, odom_rate=100.0
    ),
}


class Listener:
    """Notes when commands arrive, and what the controller and the adaptation say."""

    def __init__(self, domain: int):
        self.commands: list[tuple[float, float]] = []  # (stamp of the tick, arrival) [s]
        self.status: list[tuple[float, float, float, float, int, bool]] = []
        self.adaptations: list[float] = []
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain, args=[])
        self.node = rclpy.create_node("latency_listener", context=self._context, enable_rosout=False)
        qos = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.node.create_subscription(TwistStamped, "cmd_vel", self._on_command, qos)
        self.node.create_subscription(ControllerStatus, "mppi_controller/status", self._on_status, qos)
        self.node.create_subscription(AdaptationStatus, "adaptation/status", self._on_adaptation, qos)
        self.train = self.node.create_client(MetaTrain, "meta_trainer/meta_train")
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _on_command(self, message: TwistStamped) -> None:
        now = time.time()
        self.commands.append((message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec, now))

    def _on_status(self, m: ControllerStatus) -> None:
        stamp = m.header.stamp.sec + 1e-9 * m.header.stamp.nanosec
        running = m.state == RUNNING
        self.status.append((stamp, m.odometry_age, m.step_ms, m.period_ms, m.late_cycles, running))

    def _on_adaptation(self, message: AdaptationStatus) -> None:
        if message.decision != AdaptationStatus.NO_ATTEMPT:
            self.adaptations.append(message.adapt_ms)

    def clear(self) -> None:
        """Forget what was heard."""
        self.commands.clear()
        self.status.clear()
        self.adaptations.clear()

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self._thread.join(timeout=5.0)
        rclpy.try_shutdown(context=self._context)


def resident_mb(pid: int) -> float:
    """Resident memory of a process [MB]."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024.0
    return float("nan")


def percentiles(values) -> dict[str, float]:
    """Median, p95, p99 and the largest."""
    if len(values) == 0:
        return dict.fromkeys(("p50", "p95", "p99", "max"), float("nan"))
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "max": float(np.max(values))}


def run_case(case: Case, duration: float, tick) -> dict:
    """Drive for ``duration`` [s] and evaluate; ``tick`` is called every second."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mppi_maml_latency_")))
        domain = stack.enter_context(private_domain())
        environment = ros_environment(domain, folder)
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        os.environ.update(ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST", ROS_LOG_DIR=str(folder / "ros"))
        listener = Listener(domain)
        stack.callback(listener.close)
        group = stack.enter_context(ProcessGroup(environment, folder))
        stamped = {"cmd_vel_type": "twist_stamped"}
        world = {f"world.{k}": v for k, v in attrs.asdict(draw_world(0)).items()}
        nodes = {
            "mppi_controller": case.controller
            | stamped
            | {"reference": "figure8", "reference_ramp_time": 2.0}
            | FIGURES["figure8"],
            "dynamic_world": world | stamped | {"randomize_on_start": False, "odom_rate": case.odom_rate},
        }
        if case.adaptation:
            nodes["adaptation"] = stamped | {"adapt_interval": 2.0}
        if case.meta_trainer:
            nodes["meta_trainer"] = {"output_folder": str(folder)}
        for name, parameters in nodes.items():
            file = folder / f"{name}.yaml"
            file.write_text(yaml.safe_dump({f"/{name}": {"ros__parameters": parameters}}))
            group.start_node(name, [config_file(f"{name}.yaml"), file])
        deadline = time.monotonic() + START_TIMEOUT
        while not any(status[5] for status in list(listener.status)[-1:]):
            group.check()
            if time.monotonic() > deadline:
                raise click.ClickException("the robot was never driven")
            time.sleep(0.1)
        if case.meta_trainer:
            if not listener.train.wait_for_service(30.0):
                raise click.ClickException("meta_trainer offers no service")
            listener.train.call_async(MetaTrain.Request(name="latency", iterations=1_000_000))
        time.sleep(SETTLE)
        controller = group.members["mppi_controller"].pid
        late_before = listener.status[-1][4]
        listener.clear()
        memory = []
        for _ in range(int(duration)):
            time.sleep(1.0)
            memory.append(resident_mb(controller))
            tick()
        group.check()
        commands, status = list(listener.commands), list(listener.status)
        adaptations = list(listener.adaptations)
    arrival = dict(commands)
    latency = [1e3 * (arrived - stamp) for stamp, arrived in commands]
    from_odometry = [1e3 * (arrival[s[0]] - s[0] + s[1]) for s in status if s[0] in arrival and s[5]]
    periods = np.array([s[3] for s in status])
    return {
        "tick_to_command_ms": percentiles(latency),
        "odometry_to_command_ms": percentiles(from_odometry),
        "odometry_age_ms": percentiles([1e3 * s[1] for s in status if s[5]]),
        "step_ms": percentiles([s[2] for s in status]),
        "period_ms": percentiles(periods),
        "periods": len(status),
        "late_periods": int(status[-1][4] - late_before),
        "late_share": float((status[-1][4] - late_before) / max(len(status), 1)),
        "running_share": float(np.mean([s[5] for s in status])),
        "adaptations": len(adaptations),
        "adapt_ms": percentiles(adaptations),
        "memory_mb": {"first": memory[0], "last": memory[-1], "max": max(memory)},
    }


@click.command()
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the numbers here"
)
@click.option("--duration", default=60.0, show_default=True, help="of each case [s]")
@click.option("--case", "names", multiple=True, type=click.Choice(list(CASES)), help="default: all")
def main(json_file: Path | None, duration: float, names: tuple[str, ...]) -> None:
    """Measure odometry to cmd_vel over DDS, alone and beside busy neighbours."""
    chosen = list(names) or list(CASES)
    about, results = machine(), {}
    with Progress() as progress:
        for name in chosen:
            task = progress.add_task(name, total=int(duration))
            results[name] = run_case(CASES[name], duration, lambda t=task: progress.advance(t))
    table = Table(title="over DDS [ms]: median / p99")
    for column in (
        "case", "tick to command", "odometry to command", "age of odometry", "step", "late periods",
        "memory [MB]",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column == "case" else "right")
    for name, r in results.items():
        pair = [
            f"{r[key]['p50']:.2f} / {r[key]['p99']:.2f}"
            for key in ("tick_to_command_ms", "odometry_to_command_ms", "odometry_age_ms", "step_ms")
        ]
        memory = f"{r['memory_mb']['first']:.0f} to {r['memory_mb']['last']:.0f}"
        table.add_row(name, *pair, f"{r['late_periods']} of {r['periods']}", memory)
    Console().print(table)
    if json_file is not None:
        json_file.write_text(
            json.dumps({"machine": about, "duration": duration, "cases": results}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
