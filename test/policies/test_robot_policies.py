"""Policies that follow references: what they see, how they act without torch, how one adapts, their files."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mppi_maml_ros import cli  # noqa: E402
from mppi_maml_ros.core import artifact  # noqa: E402
from mppi_maml_ros.core.errors import ArtifactError, InvalidValueError  # noqa: E402
from mppi_maml_ros.core.se2 import compose  # noqa: E402
from mppi_maml_ros.dynamics.residual import ResidualWeights, step  # noqa: E402
from mppi_maml_ros.policies import robot_policies  # noqa: E402
from mppi_maml_ros.policies.acting import KIND, PolicyController, RobotPolicy  # noqa: E402
from mppi_maml_ros.policies.environments import tracking  # noqa: E402
from mppi_maml_ros.policies.environments.tracking import ReferenceTracking  # noqa: E402
from mppi_maml_ros.policies.maml import PolicyMAML  # noqa: E402
from mppi_maml_ros.policies.proposal import PolicyProposal  # noqa: E402
from mppi_maml_ros.policies.recurrent import RL2  # noqa: E402

EXACT = np.array([[1.0, 1.0, 1e-3, 1e-3, 0.0]])  # a robot that does as it is told


class Exact(ReferenceTracking):
    def reset(self, tasks, trajectories, rng):
        return super().reset(EXACT, trajectories, rng)


@pytest.fixture(scope="module", params=robot_policies.NAMES)
def policy(request):
    return robot_policies.train(request.param, seed=3, scale=0.004)


def test_a_robot_that_does_as_told_stays_on_a_reference_that_it_starts_on():
    environment = ReferenceTracking()
    seen = environment.reset(EXACT, 5, np.random.default_rng(0))
    environment._robot.pose[:] = environment._reference[:, :, 0]
    paid = np.zeros((1, 5))
    for _ in range(environment.horizon):
        seen, reward, ended = environment.step(np.zeros((1, 5, 2)))
        paid += reward
        assert not ended.any()
    assert (paid > -0.5).all()
    np.testing.assert_allclose(seen[..., :3], 0.0, atol=0.02)
    np.testing.assert_allclose(
        seen[..., 9:11], seen[..., 11:13], atol=0.05
    )  # twist: the reference's, its own


def test_what_is_seen_does_not_depend_on_where_and_which_way():
    rng = np.random.default_rng(1)
    window = tracking.references(rng, (4,), tracking.WINDOW)
    state = np.concatenate([rng.normal(size=(4, 3)) * 0.1, rng.normal(size=(4, 2))], axis=1)
    last, away = rng.normal(size=(4, 2)), np.array([3.0, -2.0, 2.5])
    moved = np.concatenate([compose(away, state[:, :3]), state[:, 3:]], axis=1)
    there = tracking.observe(moved, compose(away, window), last)
    np.testing.assert_allclose(there, tracking.observe(state, window, last), atol=1e-5)


def test_numpy_acts_as_torch_does(policy, tmp_path):
    again = RobotPolicy.load(policy.save(tmp_path / "p.safetensors"))
    assert again.name == policy.name and again.notes == dict(policy.notes)
    seen = np.random.default_rng(0).normal(size=(6, tracking.OBSERVATIONS)).astype(np.float32)
    actor = again.actor()
    if not policy.recurrent:
        learner = PolicyMAML(robot_policies.BASE, ReferenceTracking())
        wanted, _ = learner.policy.outputs(
            torch.from_numpy(policy.tensors["policy"])[None], torch.tensor(seen)[None]
        )
        found = [actor(row) for row in seen]
    else:
        learner = RL2(robot_policies.RECURRENT, ReferenceTracking())
        flat = learner.parameters.flatten({k: torch.from_numpy(v) for k, v in policy.tensors.items()})
        inputs, found, last = [], [], np.zeros(3, dtype=np.float32)
        for row in seen:
            inputs.append(np.concatenate([row, last, [0.0]], dtype=np.float32))
            found.append(actor(row))
            actor.paid(-0.25)
            last = np.array([*found[-1], -0.25], dtype=np.float32)
        wanted, *_ = learner._forward(flat, torch.from_numpy(np.stack(inputs))[None])
    np.testing.assert_allclose(np.stack(found), wanted[0].detach(), rtol=1e-4, atol=1e-5)


def test_one_step_on_a_robot_changes_what_adapts_alone(policy):
    environment = Exact(20)
    found = robot_policies.adapted(policy, environment, np.random.default_rng(0))
    changed = any((found.tensors[key] != value).any() for key, value in policy.tensors.items())
    assert changed == (policy.name in ("maml_rl", "gmps_policy")) == bool(policy.robot_steps)
    assert policy.notes["env_steps"] >= 20_000 / 2


def test_a_controller_corrects_the_reference_and_starts_anew_after_reset(policy):
    window = tracking.references(np.random.default_rng(2), (), tracking.WINDOW)
    state, last = np.zeros(5), np.zeros(2)
    controller = PolicyController(policy)
    first = controller.compute_control(state, window, np.zeros((1, 2)), last).command
    action = policy.actor()(tracking.observe(state, window, last))
    np.testing.assert_allclose(first, tracking.command(action, window))
    controller.compute_control(state, window, np.zeros((1, 2)), first)
    controller.reset()
    np.testing.assert_array_equal(
        controller.compute_control(state, window, np.zeros((1, 2)), last).command, first
    )
    with pytest.raises(InvalidValueError, match="10 steps ahead, got 3"):
        controller.compute_control(state, window[:4], np.zeros((1, 2)), last)


def test_other_files_are_refused(policy, tmp_path):
    path = tmp_path / "p.safetensors"
    artifact.save(path, {"a": np.zeros(3)}, {"kind": "another"})
    with pytest.raises(ArtifactError, match="no policy"):
        RobotPolicy.load(path)
    cut = {name: value[:7] for name, value in policy.tensors.items()}
    attrs.evolve(policy, tensors=cut).save(path)
    with pytest.raises(ArtifactError, match="damaged"):
        RobotPolicy.load(path)
    artifact.save(path, dict(policy.tensors), {"kind": KIND, **policy.notes})
    with pytest.raises(ArtifactError, match="damaged: 'name'"):
        RobotPolicy.load(path)


@pytest.mark.parametrize("arguments", [("sarsa", 1.0), ("trpo", 0.0)])
def test_what_cannot_be_learned_is_refused(arguments):
    name, scale = arguments
    with pytest.raises(InvalidValueError):
        robot_policies.train(name, scale=scale)


def test_the_command_writes_the_same_file_again(tmp_path, capsys):
    for name in "ab":
        done = cli.main(
            ["train-policy", "trpo", "--scale", "0.004", "--out", str(tmp_path / f"{name}.safetensors")]
        )
        assert done == 0
    assert "20,000 steps of simulated robots" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("late", [0.0, 0.1])
def test_a_proposal_is_what_the_policy_would_command_if_the_robot_were_its_model(policy, late):
    model = ResidualWeights.first_order((0.3, 0.2), (0.8, 1.1), late, tracking.DT)
    reference = tracking.references(np.random.default_rng(4), (), 31)
    state, last, past = (
        np.array([0.1, -0.2, 0.3, 0.4, 0.1]),
        np.array([0.5, 0.2]),
        np.full((8, 2), (0.5, 0.2)),
    )
    found = PolicyProposal(policy)(state, reference, past[:1], last, model)
    controller = PolicyController(policy)
    for k in range(20):
        last = controller.compute_control(state, reference[k:], past, last).command
        np.testing.assert_allclose(found[k], last, atol=1e-6)
        state = step(model, state, last, past[: max(model.history, 1)])
        past = np.concatenate([last[None], past[:-1]])
    assert found.shape == (30, 2) and np.abs(found).max() <= tracking.LIMIT
    assert PolicyProposal(policy)(np.zeros(5), reference, past[:0], np.zeros(2), None).shape == (30, 2)
