"""A world whose equations of motion nobody here wrote: rigid bodies, tyres and a caster in MuJoCo.

The parameters are those of every world and mean the same, but act where they belong physically:

* ``mass``, ``inertia``: what exceeds the nominal robot's lies on the deck as a load, high up and
  behind the axle, which also changes the grip of the wheels; below 1 the chassis is lighter;
* ``lag_v``, ``lag_omega``: stiffness of the velocity loops of the motors, nominal robot; ``motor_gain_*``,
  ``battery``, ``dead_zone``: of what these loops are asked for; their force ends at ``MOTOR_LIMIT``;
* ``friction_*``, ``coulomb``: viscous and dry friction in the drive;
* ``acceleration_limit``: friction coefficient of the tyres times gravity, on patches less, for each
  wheel where it stands;
* ``slip``: creep of the tyres under side force;
* ``radius_asymmetry``: the wheels differ; ``slope``: gravity is tilted.

Needs the extra ``mujoco``; pictures also EGL or OSMesa, without which they are drawn as a map.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..core.angles import wrap
from ..core.errors import InvalidValueError, MppiMamlError
from ..core.types import Array
from . import mujoco_model as robot
from .disturbances import Disturbance, State
from .parameters import (
    ACCELERATION_LIMIT,
    BATTERY,
    COULOMB,
    DEAD_ZONE,
    FRICTION_OMEGA,
    FRICTION_V,
    INERTIA,
    LAG_OMEGA,
    LAG_V,
    MASS,
    MOTOR_GAIN_LEFT,
    MOTOR_GAIN_RIGHT,
    PATCH_GRIP,
    RADIUS_ASYMMETRY,
    SLIP,
    SLOPE,
    SLOPE_DIRECTION,
    WorldParameters,
)
from .world import GRAVITY, Equations, World

if TYPE_CHECKING:
    import mujoco

SUBSTEP = 0.0025  # [s]
MOTOR_LIMIT = 6.0
"""Acceleration [m/s^2] that both motors together can give to the nominal robot."""

_SETTLING = 80  # substeps after which the robot stands still on its wheels
_STIFFEST = 10.0  # ratio of frictional to normal stiffness of a contact, ``impratio``
_LEAST_SLIP, _CREEP = 0.0047, 7.6e-4
"""Measured on the nominal robot, whatever v and omega: slip = _LEAST_SLIP + _CREEP / impratio [s]."""


def _import_mujoco() -> ModuleType:
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")  # read when MuJoCo is imported
    try:
        import mujoco
    except ImportError as error:
        raise MppiMamlError(
            "the MuJoCo backend needs MuJoCo: pip install mujoco (or mppi_maml_ros[mujoco])"
        ) from error
    return mujoco


class MuJoCoWorld(World):
    """The robot of :mod:`.mujoco_model`; see the module.

    Args:
        parameters, seed, disturbances, start: as of every :class:`World`. ``track`` is that of the
            model, 0.4 m.

    Raises:
        MppiMamlError: MuJoCo is not installed.
    """

    kind = -1

    def __init__(
        self,
        parameters: WorldParameters | None = None,
        seed: int = 0,
        disturbances: Iterable[Disturbance] = (),
        start: ArrayLike = (0.0, 0.0, 0.0),
    ) -> None:
        self._mujoco = mujoco = _import_mujoco()
        self._model = mujoco.MjModel.from_xml_string(robot.mjcf(SUBSTEP))
        self._data = mujoco.MjData(self._model)
        m = self._model
        self._geom = {name: m.geom(name).id for name in ("left", "right", "load", "chassis")}
        self._dof = [int(m.joint(name).dofadr[0]) for name in ("left", "right")]
        self._body = {name: m.body(name).id for name in ("base", "load", "left", "right")}
        self._chassis = (m.body("base").mass[0], m.body("base").inertia.copy())
        m.body("load").mass[0] = 1e-6
        mujoco.mj_setConst(m, self._data)
        self._nominal_mass, self._nominal_inertia = self._inertias()
        self._applied: np.ndarray | None = None
        self._held: tuple | None = None
        super().__init__(parameters or WorldParameters(), seed, disturbances, start)

    def _inertias(self) -> tuple[float, float]:
        """Mass [kg] and yaw inertia about the axle [kg m^2] that the motors feel, wheels' spin included."""
        m, d = self._model, self._data
        self._mujoco.mj_forward(m, d)

        def inertia(dof: int) -> float:  # mj_fullM's arguments differ between versions
            column = np.zeros(m.nv)
            self._mujoco.mj_mulM(m, d, column, np.eye(m.nv)[dof])
            return float(column[dof])

        spin = 2.0 * inertia(self._dof[0]) / robot.WHEEL_RADIUS**2
        return inertia(0) + spin, inertia(5) + spin * (robot.TRACK / 2.0) ** 2

    # What differs from a world of equations

    @property
    def lateral_velocity(self) -> float:
        """True velocity of base_link to the left [m/s]."""
        yaw, velocity = self._state[2], self._data.qvel
        return float(math.cos(yaw) * velocity[1] - math.sin(yaw) * velocity[0])

    @property
    def tilt(self) -> tuple[float, float]:
        """Roll and pitch of the body [rad]."""
        w, x, y, z = self._data.qpos[3:7]
        roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
        return roll, math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))

    def equations(self) -> Equations:
        """There are none.

        Raises:
            InvalidValueError: always.
        """
        raise InvalidValueError("the MuJoCo world has no equations in closed form, hence no oracle")

    def place(self, pose: ArrayLike) -> None:
        """See :meth:`World.place`."""
        super().place(pose)
        self._held = None
        self._data.qvel[:] = 0.0

    def _check(self, parameters: WorldParameters) -> None:
        if abs(parameters.track - robot.TRACK) > 1e-9:
            raise InvalidValueError(
                f"track is {robot.TRACK:g} m in the MuJoCo world, got {parameters.track:g}"
            )

    def _lie_of_the_floor(self, vector: Array, acceleration: Array) -> None:
        """Slope and patches act on the bodies, not on the parameters."""

    # Moving

    def _move(
        self, state: State, command: tuple[float, float], dt: float, vector: Array, acceleration: Array
    ) -> State:
        m, d = self._model, self._data
        self._apply(vector)
        if state is not self._held:
            self._put(state)
        half = 0.5 * robot.TRACK
        left = _through_dead_zone(command[0] - half * command[1], vector[DEAD_ZONE])
        right = _through_dead_zone(command[0] + half * command[1], vector[DEAD_ZONE])
        left *= vector[BATTERY] * vector[MOTOR_GAIN_LEFT]
        right *= vector[BATTERY] * vector[MOTOR_GAIN_RIGHT]
        d.ctrl[:] = 0.5 * (left + right), (right - left) / robot.TRACK

        count = max(math.ceil(dt / SUBSTEP - 1e-6), 1)
        m.opt.timestep = dt / count
        patched, pushed = vector[PATCH_GRIP] < 1.0, bool(acceleration.any())
        for _ in range(count):
            if patched:
                self._grip(vector)
            if pushed:
                self._push(acceleration)
            self._mujoco.mj_step(m, d)
        self._held = self._read()
        return self._held

    def _read(self) -> tuple[float, float, float, float, float]:
        p, v = self._data.qpos, self._data.qvel
        yaw = math.atan2(2.0 * (p[3] * p[6] + p[4] * p[5]), 1.0 - 2.0 * (p[5] ** 2 + p[6] ** 2))
        forward = math.cos(yaw) * v[0] + math.sin(yaw) * v[1]
        return float(p[0]), float(p[1]), yaw, float(forward), float(v[5])

    def _put(self, state: State) -> None:
        """Take over a state that is not where the last movement ended: another place, or noise."""
        d = self._data
        x, y, yaw, v, omega = state
        if self._held is None:
            self._mujoco.mj_resetData(self._model, d)
            self._turn(yaw)
            d.qpos[:2] = x, y
            # the wheels are held while the robot sinks into its tyres
            self._model.opt.timestep = SUBSTEP
            for _ in range(_SETTLING):
                self._mujoco.mj_step(self._model, d)
            d.qvel[:] = 0.0
            here = self._read()
            d.qpos[:2] = x, y
            self._turn(yaw - here[2])
        else:
            old = self._held
            d.qpos[:2] += x - old[0], y - old[1]
            self._turn(wrap(yaw - old[2]))
            d.qvel[:2] += (v - old[3]) * math.cos(yaw), (v - old[3]) * math.sin(yaw)
            d.qvel[5] += omega - old[4]

    def _turn(self, angle: float) -> None:
        quaternion, turned = np.array([math.cos(angle / 2.0), 0.0, 0.0, math.sin(angle / 2.0)]), np.empty(4)
        self._mujoco.mju_mulQuat(turned, quaternion, self._data.qpos[3:7])
        self._data.qpos[3:7] = turned

    def _grip(self, vector: Array) -> None:
        """Friction of each tyre on the floor below it."""
        for side in ("left", "right"):
            x, y = self._data.xpos[self._body[side]][:2]
            self._model.geom_friction[self._geom[side], 0] = _friction(vector) * self.grip_at(x, y)

    def _push(self, acceleration: Array) -> None:
        yaw = self._read()[2]
        force = self._nominal_mass * acceleration[0]
        self._data.xfrc_applied[self._body["base"]] = (
            *(force * math.cos(yaw), force * math.sin(yaw), 0.0),
            *(0.0, 0.0, self._nominal_inertia * acceleration[1]),
        )

    # Parameters

    def _apply(self, p: np.ndarray) -> None:
        """Make the model that of the parameters; what did not change is left alone."""
        if self._applied is not None and np.array_equal(p, self._applied):
            return
        m, mass, inertia = self._model, self._nominal_mass, self._nominal_inertia
        before = self._applied
        self._data.xfrc_applied[:] = 0.0
        for i, stiffness, axis_friction in (
            (0, mass / p[LAG_V], mass * p[FRICTION_V]),
            (1, inertia / p[LAG_OMEGA], inertia * p[FRICTION_OMEGA]),
        ):
            m.actuator_gainprm[i, 0], m.actuator_biasprm[i, 2] = stiffness, -stiffness
            m.tendon_damping[i] = axis_friction
            m.actuator_forcelimited[i] = 1
        limit = MOTOR_LIMIT * mass
        m.actuator_forcerange[:] = [(-limit, limit), (-limit * robot.TRACK / 2, limit * robot.TRACK / 2)]
        m.dof_frictionloss[self._dof] = p[COULOMB] * mass / 2.0 * robot.WHEEL_RADIUS
        for side, sign in (("left", -1.0), ("right", 1.0)):
            radius = robot.WHEEL_RADIUS * (1.0 + sign * p[RADIUS_ASYMMETRY] / 2.0)
            m.geom_size[self._geom[side], :2] = m.geom_rbound[self._geom[side]] = radius
            m.geom_friction[self._geom[side], 0] = _friction(p)
        m.opt.impratio = min(_STIFFEST, _CREEP / max(p[SLIP] - _LEAST_SLIP, 1e-6))
        down, aside = GRAVITY * math.cos(p[SLOPE]), GRAVITY * math.sin(p[SLOPE])
        direction = p[SLOPE_DIRECTION]
        m.opt.gravity[:] = -aside * math.cos(direction), -aside * math.sin(direction), -down
        if before is None or before[MASS] != p[MASS] or before[INERTIA] != p[INERTIA]:
            self._weigh(p[MASS], p[INERTIA])
        self._applied = p.copy()

    def _weigh(self, mass: float, inertia: float) -> None:
        m = self._model
        base, load = self._body["base"], self._body["load"]
        lighter = min(mass, 1.0)
        extra = max((mass - lighter) * self._nominal_mass, 1e-6)
        m.body_mass[base] = self._chassis[0] * lighter
        m.body_inertia[base] = self._chassis[1] * lighter
        # The load's own inertia is what is left of the wanted one after its distance from the axle.
        x = m.body_pos[load, 0]
        wanted = (inertia - lighter) * self._nominal_inertia - extra * x * x
        around = max(wanted, 0.2 * extra * 0.02)
        m.body_mass[load] = extra
        m.body_inertia[load] = around * 0.6, around * 0.6, around
        m.geom_rgba[self._geom["load"], 3] = 1.0 if extra > 0.05 else 0.0
        constants = self._mujoco.MjData(m)
        self._mujoco.mj_setConst(m, constants)

    # Pictures

    def render(
        self, trail: np.ndarray | None = None, width: int = 960, height: int = 640, distance: float = 4.0
    ) -> np.ndarray:
        """A picture of the robot, followed from behind and above.

        Args:
            trail: where it drove, (x, y) of shape (T, 2); drawn as a line on the floor.
            width, height: [pixels], at most 960 x 640.
            distance: of the camera [m].

        Returns:
            Shape (height, width, 3), uint8.

        Raises:
            MppiMamlError: there is no OpenGL: set MUJOCO_GL=egl or osmesa where one is installed.
        """
        mujoco = self._mujoco
        try:
            renderer = mujoco.Renderer(self._model, height, width)
        except Exception as error:  # each GL backend raises its own
            raise MppiMamlError(f"no offscreen OpenGL (MUJOCO_GL=egl or osmesa): {error}") from error
        camera = mujoco.MjvCamera()
        camera.lookat[:] = (*self._data.qpos[:2], 0.1)
        camera.distance, camera.azimuth, camera.elevation = distance, 40.0, -35.0
        try:
            renderer.update_scene(self._data, camera)
            self._draw_floor(renderer.scene, trail, distance)
            return renderer.render()
        finally:
            renderer.close()

    def _draw_floor(self, scene: mujoco.MjvScene, trail: np.ndarray | None, distance: float) -> None:
        mujoco, p = self._mujoco, self._vector

        def add(
            kind: int, size: Sequence[float], at: Sequence[float], turn: float, colour: Sequence[float]
        ) -> None:
            if scene.ngeom < scene.maxgeom:
                c, s = math.cos(turn), math.sin(turn)
                matrix = np.array([c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0])
                geom = scene.geoms[scene.ngeom]
                mujoco.mjv_initGeom(geom, kind, np.array(size), np.array(at), matrix, np.array(colour, "f4"))
                scene.ngeom += 1

        box = mujoco.mjtGeom.mjGEOM_BOX
        if p[PATCH_GRIP] < 1.0:
            step = 0.1
            reach = np.arange(-distance, distance, step)
            for x in np.round((self._data.qpos[0] + reach) / step) * step:
                for y in np.round((self._data.qpos[1] + reach) / step) * step:
                    if self.grip_at(x, y) < 1.0:
                        add(box, (step / 2, step / 2, 1e-3), (x, y, 0.0), 0.0, (0.35, 0.6, 0.85, 0.5))
        if trail is not None:
            points = np.asarray(trail, dtype=float)[:: max(1, len(trail) // 300)]
            for (ax, ay), (bx, by) in zip(points[:-1], points[1:], strict=True):
                half = math.hypot(bx - ax, by - ay) / 2.0
                middle, turn = ((ax + bx) / 2, (ay + by) / 2, 0.004), math.atan2(by - ay, bx - ax)
                add(box, (half, 0.012, 2e-3), middle, turn, (0.85, 0.2, 0.15, 1.0))


def _through_dead_zone(command: float, dead_zone: float) -> float:
    return math.copysign(max(abs(command) - dead_zone, 0.0), command)


def _friction(p: Array) -> float:
    return max(p[ACCELERATION_LIMIT] / GRAVITY, 0.01)


def save_picture(path: Path, pixels: np.ndarray) -> None:
    """Write a picture as PNG."""
    from matplotlib.image import imsave

    imsave(path, pixels)
