"""The MuJoCo model of the simulated robot: two driven wheels, a swivelling caster, a deck for a load.

Everything is nominal here; :mod:`.mujoco_world` changes masses, friction, radii and motors. The
origin of the body ``base`` is the middle of the axle, whose projection on the floor is base_link.
Tyres are ellipsoids, which touch the floor in one point as a crowned tyre does. A skid in front, 4 mm
above the floor, bears the robot when it brakes hard. Two fixed tendons carry the mean speed of the
wheels and the yaw rate that they roll, in m/s and rad/s, so that motors and viscous friction can be
given per axis, as a base controller closes them.
"""

from __future__ import annotations

WHEEL_RADIUS = 0.08  # [m]
WHEEL_WIDTH = 0.03  # [m]
WHEEL_MASS = 0.8  # [kg]
CHASSIS_MASS = 14.0  # [kg]
CHASSIS_SIZE = (0.40, 0.28, 0.12)  # [m]
CHASSIS_CENTRE = -0.04  # [m] behind the axle, so that the caster bears a fifth of the weight
CASTER_AT = -0.19  # [m] where it swivels
CASTER_TRAIL = 0.025  # [m]
CASTER_RADIUS = 0.035  # [m]
TRACK = 0.4  # [m]
NOMINAL_GRIP = 1.0  # friction coefficient of a tyre


def mjcf(timestep: float, width: int = 960, height: int = 640) -> str:
    """The model as MJCF.

    Args:
        timestep: of the integration [s].
        width, height: of the largest picture [pixels].
    """
    half = 0.5 * TRACK
    deck = CHASSIS_SIZE[2] / 2.0
    clearance = CASTER_RADIUS - WHEEL_RADIUS
    wheel = (
        '<body name="{name}" pos="0 {y} 0">'
        '<joint name="{name}" type="hinge" axis="0 1 0"/>'
        '<geom name="{name}" class="tyre" size="{r} {r} {w}" mass="{m}"/>'
        '<geom class="visual" type="box" size="{spoke} {w2} 0.008" rgba="0.9 0.9 0.9 1"/>'
        "</body>"
    )
    wheels = "".join(
        wheel.format(
            name=name,
            y=y,
            r=WHEEL_RADIUS,
            w=WHEEL_WIDTH / 2.0,
            w2=WHEEL_WIDTH / 2.0 + 0.001,
            m=WHEEL_MASS,
            spoke=0.85 * WHEEL_RADIUS,
        )
        for name, y in (("left", half), ("right", -half))
    )
    return f"""
<mujoco model="differential drive">
  <option timestep="{timestep}" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <visual>
    <global offwidth="{width}" offheight="{height}" azimuth="-60" elevation="-35"/>
    <quality shadowsize="2048"/>
    <headlight ambient="0.5 0.5 0.5" diffuse="0.4 0.4 0.4" specular="0 0 0"/>
  </visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1="0.9 0.94 1" rgb2="0.6 0.7 0.85"
             width="64" height="64"/>
    <texture name="tiles" type="2d" builtin="checker" rgb1="0.80 0.80 0.78" rgb2="0.72 0.72 0.70"
             width="256" height="256"/>
    <material name="tiles" texture="tiles" texrepeat="1 1" texuniform="true"/>
  </asset>
  <default>
    <geom solref="0.01 1" condim="3"/>
    <default class="tyre">
      <geom type="ellipsoid" quat="0.7071068 0.7071068 0 0" priority="1"
            friction="{NOMINAL_GRIP} 0.002 0.0001" rgba="0.15 0.15 0.17 1"/>
    </default>
    <default class="visual"><geom contype="0" conaffinity="0" group="1" mass="0"/></default>
  </default>
  <worldbody>
    <light pos="0 0 6" dir="0 0 -1" diffuse="0.5 0.5 0.5" castshadow="true"/>
    <geom name="floor" type="plane" size="0 0 0.1" material="tiles"/>
    <body name="base" pos="0 0 {WHEEL_RADIUS}">
      <freejoint name="base"/>
      <geom name="chassis" type="box" pos="{CHASSIS_CENTRE} 0 0.06" mass="{CHASSIS_MASS}"
            size="{CHASSIS_SIZE[0] / 2} {CHASSIS_SIZE[1] / 2} {deck}" contype="0" conaffinity="0"
            rgba="0.20 0.45 0.75 1"/>
      <geom class="visual" type="box" pos="{CHASSIS_CENTRE + CHASSIS_SIZE[0] / 2} 0 0.06"
            size="0.005 0.1 0.03" rgba="0.95 0.75 0.2 1"/>
      <geom name="skid" type="sphere" size="0.01" pos="0.15 0 {0.004 + 0.01 - WHEEL_RADIUS}" priority="2"
            friction="0.1 0.002 0.0001" mass="0.02"/>
      {wheels}
      <body name="caster" pos="{CASTER_AT} 0 {clearance}">
        <joint name="swivel" type="hinge" axis="0 0 1" damping="0.002" frictionloss="0.01"/>
        <inertial pos="0 0 0.02" mass="0.1" diaginertia="1e-4 1e-4 1e-4"/>
        <body name="caster_wheel" pos="{-CASTER_TRAIL} 0 0">
          <joint name="caster_wheel" type="hinge" axis="0 1 0" damping="0.0005"/>
          <geom name="caster" class="tyre" size="{CASTER_RADIUS} {CASTER_RADIUS} 0.012" mass="0.15"
                friction="0.8 0.002 0.0001"/>
        </body>
      </body>
      <body name="load" pos="-0.03 0 {0.06 + deck + 0.08}">
        <geom name="load" type="box" size="0.1 0.1 0.08" mass="1" contype="0" conaffinity="0"
              rgba="0.75 0.45 0.25 0"/>
      </body>
    </body>
  </worldbody>
  <tendon>
    <fixed name="forward"><joint joint="left" coef="{WHEEL_RADIUS / 2}"/>
      <joint joint="right" coef="{WHEEL_RADIUS / 2}"/></fixed>
    <fixed name="turn"><joint joint="left" coef="{-WHEEL_RADIUS / TRACK}"/>
      <joint joint="right" coef="{WHEEL_RADIUS / TRACK}"/></fixed>
  </tendon>
  <actuator>
    <velocity name="forward" tendon="forward" kv="1"/>
    <velocity name="turn" tendon="turn" kv="1"/>
  </actuator>
</mujoco>
"""
