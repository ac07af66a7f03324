"""Few-shot trainers: derivatives, what they change, what they must not depend on, and that they learn."""

from __future__ import annotations

import json

import attrs
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from mppi_maml_ros import cli  # noqa: E402
from mppi_maml_ros.images.network import ConvNet  # noqa: E402
from mppi_maml_ros.images.omniglot import characters  # noqa: E402
from mppi_maml_ros.images.tasks import FewShotTasks  # noqa: E402
from mppi_maml_ros.images.trainers import IMAGE_TRAINERS, FewShotConfig, cross_entropy  # noqa: E402
from mppi_maml_ros.literature import image_study  # noqa: E402
from mppi_maml_ros.meta import loop  # noqa: E402
from mppi_maml_ros.meta.gradients.outer import Parameters  # noqa: E402

SMALL = FewShotConfig(ways=3, filters=4, iterations=3, task_batch_size=2, inner_steps=2, evaluate_every=2)


def drawn(seed=0, tasks=2):
    g = torch.Generator().manual_seed(seed)
    return [
        [torch.rand(tasks, count, 28, 28, generator=g), torch.arange(3).repeat(tasks, count // 3)]
        for count in (3, 6)
    ]


def trainer_of(name, config=SMALL, double=True):
    made = IMAGE_TRAINERS[name](config)
    g = torch.Generator().manual_seed(5)
    flat = made.parameters.flat
    flat += 0.1 * torch.randn(flat.shape, generator=g)
    if double:
        made.parameters.flat = flat.double()
    return made


@pytest.mark.parametrize("pooled", [False, True])
def test_the_convolution_is_that_of_torch(pooled):
    net, g = ConvNet(3, filters=4, pooled=pooled), torch.Generator().manual_seed(0)
    values = net.initial(g)
    images = torch.rand(2, 5, 28, 28, generator=g)
    found = net.features({k: v.expand(2, *v.shape) for k, v in values.items()}, images)
    for task in range(2):
        value = images[task][:, None]
        for i in range(4):
            kernel = values[f"conv{i}.weight"].T.reshape(net.widths[i], -1, 3, 3)
            value = torch.nn.functional.conv2d(value, kernel, stride=1 if pooled else 2, padding=1)
            value = torch.nn.functional.batch_norm(value, None, None, training=True).relu()
            value = torch.nn.functional.max_pool2d(value, 2) if pooled else value
        torch.testing.assert_close(found[task], value.flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooled", [False, True])
def test_features_of_one_network_are_the_same_the_fast_way(pooled):
    net, g = ConvNet(3, filters=4, pooled=pooled), torch.Generator().manual_seed(0)
    values = Parameters(net.initial(g))
    values.flat += 0.1 * torch.randn(values.flat.shape, generator=g)
    images = torch.rand(5, 28, 28, generator=g)
    found = net.shared_features(values.flat, images)
    slow = net.features(net.split(values.flat[None]), images[None])[0]
    torch.testing.assert_close(found, slow, rtol=1e-4, atol=1e-5)
    known = net.statistics(values.flat, images)
    torch.testing.assert_close(net.shared_features(values.flat, images, known), slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["maml", "anil", "prototypes"])
def test_the_meta_gradient_is_that_of_finite_differences(name):
    trainer = trainer_of(name)
    support, query = ([images.double(), labels] for images, labels in drawn())
    gradient, _ = trainer.meta_gradient(support, query)
    start = trainer.parameters.flat.clone()
    direction = torch.randn(start.shape, generator=torch.Generator().manual_seed(1)).double()
    direction /= direction.norm()
    losses = []
    for step in (1e-6, -1e-6):
        trainer.parameters.flat = start + step * direction
        if name == "prototypes":
            losses.append(float(trainer.loss(trainer.parameters.flat, support, query)[0]))
            continue
        adapted = trainer.adapt(trainer._start(2), support, SMALL.inner_steps, False)
        logits = trainer.network.logits(adapted, query[0])
        losses.append(float(cross_entropy(logits, query[1]).mean()))
    assert float(gradient @ direction) == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-3, abs=1e-6)


def test_the_first_order_is_the_gradient_at_the_adapted_parameters():
    trainer = trainer_of("fomaml")
    support, query = ([images.double(), labels] for images, labels in drawn())
    found, _ = trainer.meta_gradient(support, query)
    adapted = trainer.adapt(trainer._start(2), support, 2, False).requires_grad_()
    (slope,) = torch.autograd.grad(
        cross_entropy(trainer.network.logits(adapted, query[0]), query[1]).sum(), adapted
    )
    torch.testing.assert_close(found, slope.mean(dim=0))
    exact, _ = trainer_of("maml").meta_gradient(support, query)
    assert not torch.allclose(found, exact)


def test_anil_adapts_the_head_alone():
    trainer = trainer_of("anil", double=False)
    support, _ = drawn()
    changed = (trainer.adapt(trainer._start(2), support, 2, False) != trainer.parameters.flat).any(dim=0)
    assert changed.any() and not (changed & (trainer.network.head_mask() == 0)).any()


def test_reptile_goes_where_descent_ends():
    trainer = trainer_of("reptile")
    support, query = ([images.double(), labels] for images, labels in drawn())
    found, _ = trainer.meta_gradient(support, query)
    both = [torch.cat(pair, dim=1) for pair in zip(support, query)]
    ends = trainer.adapt(trainer._start(2), both, 2, False)
    torch.testing.assert_close(trainer.parameters.flat - found, ends.mean(dim=0))


def test_every_image_of_a_class_is_its_prototype_in_turn():
    trainer = trainer_of("prototypes")
    (shown, labels), (asked, answers) = ([images.double(), of] for images, of in drawn())
    parts = [shown, asked[:, :3], asked[:, 3:]]  # labels 0, 1, 2 in each
    found, logits = trainer.loss(trainer.parameters.flat, [shown, labels], [asked, answers])
    torch.testing.assert_close(logits, trainer.answers([shown, labels], asked))
    losses = []
    for turn in range(3):
        others = torch.cat([part for i, part in enumerate(parts) if i != turn], dim=1)
        said = trainer.answers([parts[turn], labels], others)
        losses.append(cross_entropy(said, answers).mean())
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_what_has_settled_answers_an_image_the_same_in_any_company():
    trainer = trainer_of("prototypes", double=False)
    (shown, labels), (asked, _) = drawn()
    alone, together = (lambda: trainer.answers([shown, labels], asked[:, :1])), trainer.answers
    assert not torch.allclose(alone(), together([shown, labels], asked)[:, :1], rtol=1e-3)
    trainer.settle(np.random.default_rng(0).random((1300, 28, 28)))
    torch.testing.assert_close(alone(), together([shown, labels], asked)[:, :1], rtol=1e-4, atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), name=st.sampled_from(sorted(IMAGE_TRAINERS)))
def test_answers_do_not_depend_on_the_order_of_tasks_and_images(seed, name):
    trainer, g = trainer_of(name), torch.Generator().manual_seed(seed)
    (shown, labels), (asked, _) = ([images.double(), of] for images, of in drawn(seed))
    order, tasks, others = (torch.randperm(n, generator=g) for n in (3, 2, 6))
    still = trainer.answers([shown, labels], asked)
    moved = trainer.answers([shown[tasks][:, order], labels[tasks][:, order]], asked[tasks][:, others])
    torch.testing.assert_close(moved, still[tasks][:, others], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [*IMAGE_TRAINERS])
def test_every_trainer_runs_in_the_loop(name, omniglot_like):
    found = characters(omniglot_like)
    trainer = IMAGE_TRAINERS[name](SMALL)
    curve = loop.run(name, trainer, FewShotTasks(found.of(["A"]), found.of(["B"]), 3, 1, 2, count=4))
    assert curve.train.shape == (3, 2) and np.isfinite(curve.train[:, 1]).all()
    assert curve.held_out[-1][1] == pytest.approx(2.0 / 3.0)


@pytest.mark.slow
@pytest.mark.parametrize("name, changes", [("prototypes", {}), ("maml", {"inner_lr": 0.3})])
def test_what_was_learned_serves_new_characters(name, changes, omniglot_like):
    found = characters(omniglot_like)
    config = attrs.evolve(SMALL, filters=8, iterations=60, task_batch_size=4, meta_lr=5e-3, **changes)
    trainer = IMAGE_TRAINERS[name](config)
    loop.run(name, trainer, FewShotTasks(found.of(["A"]).turned(), found.of(["B"]), 3, 1, 3))
    support, query = FewShotTasks(found, found.of(["B"]), 3, 1, 3, count=60).held_out()
    assert float(trainer.losses(support, query)[1].mean()) < 0.2


def test_the_command_reproduces_omniglot_and_says_when_it_has_no_data(
    omniglot_like, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(image_study, "TEST_TASKS", 20)
    arguments = ["reproduce", "omniglot", "--scale", "0.0002", "--seeds", "0", "--methods", "prototypes"]
    assert cli.main([*arguments, "--out", str(tmp_path / "a")]) == 1
    assert "--data" in capsys.readouterr().err
    file = tmp_path / "o.json"
    done = cli.main(
        [*arguments, "--out", str(tmp_path / "b"), "--data", str(omniglot_like), "--json", str(file)]
    )
    assert done == 0
    rows = json.loads(file.read_text())["rows"]
    assert [(row["x"], row["paper"]) for row in rows] == [(5, None), (20, 70.0)]
    assert all(0.0 <= row["mean"] <= 100.0 for row in rows)
