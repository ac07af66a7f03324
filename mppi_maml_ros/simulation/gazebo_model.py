"""The simulated robot as SDF for Gazebo: the body of the MuJoCo world, its parameters drawn the same way.

Mass, inertia, grip and dry friction act in Gazebo; the velocity loop is that of its DiffDrive system, so
lags, gains and delays of the parameters have no counterpart there.
"""

from __future__ import annotations

from . import mujoco_model as robot
from .parameters import WorldParameters
from .world import GRAVITY


def sdf(parameters: WorldParameters) -> str:
    """World and robot as SDF 1.9.

    Args:
        parameters: ``mass``, ``inertia``, ``acceleration_limit`` (grip), ``coulomb``, ``friction_v``,
            ``radius_asymmetry`` and ``slope`` are used.
    """
    p = parameters
    mass = robot.CHASSIS_MASS * p.mass
    x, y, z = robot.CHASSIS_SIZE
    box = [p.inertia * mass / 12.0 * (a * a + b * b) for a, b in ((y, z), (x, z), (x, y))]
    grip = p.acceleration_limit / GRAVITY
    wheels = "".join(
        _wheel(
            name, side * robot.TRACK / 2.0, robot.WHEEL_RADIUS * (1.0 + sign * p.radius_asymmetry / 2.0), grip
        )
        for name, side, sign in (("left", 1.0, -1.0), ("right", -1.0, 1.0))
    )
    joints = "".join(_joint(name, p, mass) for name in ("left", "right"))
    caster = robot.CASTER_RADIUS
    return f"""<?xml version="1.0"?>
<sdf version="1.9">
  <world name="mppi_maml_ros">
    <physics name="4ms" type="ignored"><max_step_size>0.004</max_step_size></physics>
    <plugin filename="gz-sim-physics-system" name="gz::sim::systems::Physics"/>
    <plugin filename="gz-sim-user-commands-system" name="gz::sim::systems::UserCommands"/>
    <plugin filename="gz-sim-scene-broadcaster-system" name="gz::sim::systems::SceneBroadcaster"/>
    <gravity>0 0 -{GRAVITY}</gravity>
    <light type="directional" name="sun"><direction>-0.5 0.2 -0.9</direction></light>
    <model name="floor">
      <static>true</static>
      <pose>0 0 0 0 {-p.slope:.6g} 0</pose>
      <link name="floor">
        <collision name="floor"><geometry><plane><normal>0 0 1</normal><size>100 100</size></plane></geometry>
        </collision>
        <visual name="floor"><geometry><plane><normal>0 0 1</normal><size>100 100</size></plane></geometry>
        </visual>
      </link>
    </model>
    <model name="robot">
      <pose>0 0 {robot.WHEEL_RADIUS:.4f} 0 0 0</pose>
      <link name="base_link">
        <inertial>
          <pose>{robot.CHASSIS_CENTRE} 0 0.06 0 0 0</pose>
          <mass>{mass:.4f}</mass>
          <inertia><ixx>{box[0]:.5f}</ixx><iyy>{box[1]:.5f}</iyy><izz>{box[2]:.5f}</izz></inertia>
        </inertial>
        <visual name="chassis">
          <pose>{robot.CHASSIS_CENTRE} 0 0.06 0 0 0</pose>
          <geometry><box><size>{x} {y} {z}</size></box></geometry>
        </visual>
        <collision name="caster">
          <pose>{robot.CASTER_AT} 0 {caster - robot.WHEEL_RADIUS:.4f} 0 0 0</pose>
          <geometry><sphere><radius>{caster}</radius></sphere></geometry>
          <surface><friction><ode><mu>0.02</mu><mu2>0.02</mu2></ode></friction></surface>
        </collision>
      </link>
      {wheels}{joints}
      <plugin filename="gz-sim-diff-drive-system" name="gz::sim::systems::DiffDrive">
        <left_joint>left</left_joint>
        <right_joint>right</right_joint>
        <wheel_separation>{robot.TRACK}</wheel_separation>
        <wheel_radius>{robot.WHEEL_RADIUS}</wheel_radius>
        <topic>cmd_vel</topic>
        <odom_topic>odom</odom_topic>
        <frame_id>odom</frame_id>
        <child_frame_id>base_link</child_frame_id>
        <odom_publish_frequency>50</odom_publish_frequency>
      </plugin>
    </model>
  </world>
</sdf>
"""


def _wheel(name: str, y: float, radius: float, grip: float) -> str:
    spin = 0.5 * robot.WHEEL_MASS * radius**2
    cross = robot.WHEEL_MASS * (3.0 * radius**2 + robot.WHEEL_WIDTH**2) / 12.0
    shape = f"<cylinder><radius>{radius:.5f}</radius><length>{robot.WHEEL_WIDTH}</length></cylinder>"
    return f"""<link name="{name}_wheel">
        <pose>0 {y} 0 -1.5707963 0 0</pose>
        <inertial>
          <mass>{robot.WHEEL_MASS}</mass>
          <inertia><ixx>{cross:.6f}</ixx><iyy>{cross:.6f}</iyy><izz>{spin:.6f}</izz></inertia>
        </inertial>
        <collision name="tyre">
          <geometry>{shape}</geometry>
          <surface><friction><ode><mu>{grip:.4f}</mu><mu2>{grip:.4f}</mu2></ode></friction></surface>
        </collision>
        <visual name="tyre"><geometry>{shape}</geometry></visual>
      </link>
      """


def _joint(name: str, p: WorldParameters, mass: float) -> str:
    friction = p.coulomb * mass / 2.0 * robot.WHEEL_RADIUS
    damping = p.friction_v * mass / 2.0 * robot.WHEEL_RADIUS**2
    return f"""<joint name="{name}" type="revolute">
        <parent>base_link</parent>
        <child>{name}_wheel</child>
        <axis>
          <xyz>0 0 1</xyz>
          <dynamics><damping>{damping:.6f}</damping><friction>{friction:.6f}</friction></dynamics>
        </axis>
      </joint>
      """
