"""The usage example of the guide, its imports changed, in the seed world seen as three states."""

import numpy as np
import pytest

from mppi_maml_ros.dynamics.kinematic import DifferentialDriveKinematic
from mppi_maml_ros.dynamics.maml import MAMLDynamics
from mppi_maml_ros.dynamics.residual_model import ResidualDynamics
from mppi_maml_ros.mppi.config import MPPIConfig
from mppi_maml_ros.mppi.model_controller import ModelController as MPPIController
from mppi_maml_ros.mppi.model_controller import TrackingCost
from mppi_maml_ros.references.figures import circle
from mppi_maml_ros.simulation.worlds import make_world


@pytest.fixture
def model_path(tmp_path):
    return MAMLDynamics(hidden_dims=(16,)).save(tmp_path / "dynamic_maml_meta_model.safetensors")


def test_warm_up_adapt_and_drive_on_with_the_adapted_residual(model_path):
    dt, warmup_steps, num_steps = 0.05, 40, 90
    params, cost_fn = MPPIConfig(batch_size=64, time_steps=15), TrackingCost()
    reference = circle()
    world = make_world("perturbed", 0, start=reference.pose_at(0.0))
    state, errors = world.state[:3], []

    def ref(step):
        return reference.window(step * dt, params.time_steps, dt)

    # 1. The kinematic base and the residual on top of it.
    base_model = DifferentialDriveKinematic(v_max=1.0, omega_max=1.0)
    maml = MAMLDynamics(state_dim=3, control_dim=2, model_path=model_path, inner_lr=0.05, inner_steps=100)
    maml.save_meta_weights()

    # 2. Warm-up with the kinematic controller.
    kin_controller = MPPIController(base_model, params, cost_function=cost_fn)
    buffer_s, buffer_c, buffer_n = [], [], []
    for step in range(warmup_steps):
        control, _ = kin_controller.compute_control(state, ref(step))
        next_state = world.step(control, dt)[:3]
        buffer_s.append(state)
        buffer_c.append(control)
        buffer_n.append(next_state)
        state = next_state

    # 3. What the base leaves, and the adaptation to it.
    buf_s, buf_c, buf_n = np.array(buffer_s), np.array(buffer_c), np.array(buffer_n)
    kin_dots = np.array([base_model.forward_dynamics(s, c) for s, c in zip(buf_s, buf_c)])
    kin_next = buf_s + kin_dots * dt
    residual_target = buf_s + (buf_n - kin_next)
    first_loss = maml.adapt(buf_s, buf_c, residual_target, dt, restore=True)
    assert isinstance(first_loss, float) and np.isfinite(first_loss)

    # 4. The controller over base and residual, 5. which is adapted again as it drives.
    residual_model = ResidualDynamics(base_model=base_model, learned_model=maml, use_residual=True)
    controller = MPPIController(residual_model, params, cost_function=cost_fn)
    for step in range(num_steps):
        now = warmup_steps + step
        control, _ = controller.compute_control(state, ref(now))
        next_state = world.step(control, dt)[:3]
        buffer_s.append(state)
        buffer_c.append(control)
        buffer_n.append(next_state)
        if step % 80 == 0 and len(buffer_s) >= 40:
            recent_s = np.array(buffer_s[-200:])
            recent_c = np.array(buffer_c[-200:])
            recent_n = np.array(buffer_n[-200:])
            kin_dots = np.array([base_model.forward_dynamics(s, c) for s, c in zip(recent_s, recent_c)])
            residual_target = recent_s + (recent_n - (recent_s + kin_dots * dt))
            maml.adapt(recent_s, recent_c, residual_target, dt, restore=True)
        state = next_state
        errors.append(np.hypot(*(state[:2] - reference.pose_at((now + 1) * dt)[:2])))

    # The perturbed robot covers .55 of its way: kinematics alone falls behind for good.
    assert np.mean(errors[-20:]) < 0.3 * errors[0]
