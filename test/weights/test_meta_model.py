import attrs
import numpy as np
import pytest

from mppi_maml_ros.core import artifact
from mppi_maml_ros.core.errors import ArtifactError
from mppi_maml_ros.weights.meta_model import MetaModel


def test_a_meta_model_survives_the_disk(meta, tmp_path):
    again = MetaModel.load(meta.save(tmp_path / "m.safetensors"))
    assert again.networks.keys() == meta.networks.keys()
    assert again.delay_taps == meta.delay_taps and again.inner_steps == meta.inner_steps
    assert np.array_equal(again.physics.mean, meta.physics.mean)
    for name, layers in meta.networks.items():
        assert (
            again.weights(name, layers=again.networks[name]).digest()
            == meta.weights(name, layers=layers).digest()
        )


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    "name", ["input_scale", "physics.mean", "network.maml.layer0.weight", "network.maml.output_scale"]
)
@pytest.mark.parametrize("damage", ["shape", "missing"])
def test_a_damaged_tensor_is_refused(meta, tmp_path, name, damage):
    tensors, manifest = artifact.load(meta.save(tmp_path / "m.safetensors"))
    if damage == "missing":
        del tensors[name]
    else:
        tensors[name] = np.zeros((2, 2, 2), np.float32)
    artifact.save(tmp_path / "m.safetensors", tensors, manifest)
    named = name if damage == "missing" or "layer" not in name else r"layer0\.weight"
    with pytest.raises(ArtifactError, match=named):
        MetaModel.load(tmp_path / "m.safetensors")


@pytest.mark.fault(29)
def test_another_kind_of_artifact_is_refused(tmp_path):
    path = artifact.save(tmp_path / "m.safetensors", {"a": np.zeros(1)}, {"kind": "other"})
    with pytest.raises(ArtifactError, match="kind"):
        MetaModel.load(path)


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    "name",
    ["noise", "physics.covariance", "physics.delay", "physics.noise"],
)
def test_every_tensor_has_one_shape(meta, tmp_path, name):
    tensors, manifest = artifact.load(meta.save(tmp_path / "m.safetensors"))
    tensors[name] = np.concatenate([tensors[name], tensors[name]], axis=-1)
    artifact.save(tmp_path / "m.safetensors", tensors, manifest)
    with pytest.raises(ArtifactError, match=f"not usable: tensor '{name}' must have shape"):
        MetaModel.load(tmp_path / "m.safetensors")


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("delay_taps", "many"),
        ("delay_taps", None),
        ("delay_taps", 99),
        ("model_dt", "x"),
        ("activation", "sine"),
        ("inner_steps", []),
        ("provenance", 3),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(meta, tmp_path, key, value):
    tensors, manifest = artifact.load(meta.save(tmp_path / "m.safetensors"))
    artifact.save(tmp_path / "m.safetensors", tensors, {**manifest, key: value})
    with pytest.raises(ArtifactError, match="not usable"):
        MetaModel.load(tmp_path / "m.safetensors")
    del manifest[key]
    artifact.save(tmp_path / "m.safetensors", tensors, manifest)
    if key == "provenance":
        assert MetaModel.load(tmp_path / "m.safetensors").provenance == {}
    else:
        with pytest.raises(ArtifactError, match=f"lacks '{key}'"):
            MetaModel.load(tmp_path / "m.safetensors")


def test_every_field_survives_the_disk(meta, tmp_path):
    meta = attrs.evolve(meta, provenance={"seed": 3})
    again = MetaModel.load(meta.save(tmp_path / "m.safetensors"))
    for name in ("activation", "delay_taps", "model_dt", "inner_lr", "inner_steps", "provenance"):
        assert getattr(again, name) == getattr(meta, name)
    for name in ("input_scale", "noise"):
        assert np.array_equal(getattr(again, name), getattr(meta, name))
        assert not getattr(again, name).flags.writeable
    for name in ("mean", "covariance", "weight", "delay", "noise"):
        assert np.allclose(getattr(again.physics, name), getattr(meta.physics, name), rtol=1e-6)
    assert again.output_scale.keys() == meta.output_scale.keys()
    assert again != MetaModel.load(tmp_path / "m.safetensors")  # compared by identity


def test_serving_weights_are_scaled_in_the_last_layer_alone(meta):
    scale = meta.output_scale["maml"]
    layers = (meta.networks["maml"][0], (np.ones((3, 8), np.float32), np.full(3, 2.0, np.float32)))
    weights = meta.weights("maml", layers=layers, blend=0.25)
    assert np.array_equal(weights.layers[0][0], layers[0][0])
    assert np.allclose(weights.layers[1][0], scale[:, None] * np.ones((3, 8)))
    assert np.allclose(weights.layers[1][1], 2.0 * scale)
    assert weights.displacement_blend == 0.25 and not weights.linear.any()
    assert meta.weights("maml").layers == () and meta.weights("maml").displacement_blend == 1.0
    linear = np.full(weights.linear.shape, 0.5)
    assert np.array_equal(meta.weights("maml", linear).linear, linear)


def test_serving_weights_carry_their_errors_and_their_uncertainty_where_given(meta):
    errors = np.outer([0.9, 0.2, -0.1], [1.0, 1.0])
    covariance = 0.01 * np.eye(meta.weights("maml").linear.shape[1])
    weights = meta.weights("maml", error_model=errors, covariance=covariance)
    assert np.allclose(weights.error_model, errors) and np.allclose(weights.covariance, covariance)
    plain = meta.weights("maml")
    assert not plain.error_model.any() and plain.covariance.size == 0


def test_what_an_adapter_needs_besides_its_network_survives_the_disk(meta, tmp_path):
    extras = {"maml": {"inner": np.array([0.5, 3.0]), "rate0.weight": np.ones((2, 3))}}
    again = MetaModel.load(attrs.evolve(meta, extras=extras).save(tmp_path / "m.safetensors"))
    assert again.extras.keys() == extras.keys() and again.extras["maml"].keys() == extras["maml"].keys()
    for key, value in extras["maml"].items():
        assert np.array_equal(again.extras["maml"][key], value)
    assert MetaModel.load(attrs.evolve(meta, extras={}).save(tmp_path / "n.safetensors")).extras == {}


def test_an_artifact_that_says_a_setting_is_believed(meta, tmp_path):
    said = attrs.evolve(meta, extras={"maml": {"max_gradient_norm": np.array([3.0])}})
    assert MetaModel.load(said.save(tmp_path / "m.safetensors")).extras["maml"]["max_gradient_norm"] == 3.0


def test_an_artifact_of_the_first_version_gets_what_all_of_them_were_made_for(meta, tmp_path):
    tensors, manifest = artifact.load(meta.save(tmp_path / "m.safetensors"))
    assert "max_gradient_norm" not in MetaModel.load(tmp_path / "m.safetensors").extras["maml"]
    del manifest["version"]
    artifact.save(tmp_path / "m.safetensors", tensors, manifest)
    assert MetaModel.load(tmp_path / "m.safetensors").extras["maml"]["max_gradient_norm"] == 10.0


@pytest.mark.fault(29)
@pytest.mark.parametrize("version", [0, 3, "2", None, [1]])
def test_an_artifact_of_another_version_is_refused(meta, tmp_path, version):
    tensors, manifest = artifact.load(meta.save(tmp_path / "m.safetensors"))
    artifact.save(tmp_path / "m.safetensors", tensors, manifest | {"version": version})
    with pytest.raises(ArtifactError, match="version must be 1 or 2"):
        MetaModel.load(tmp_path / "m.safetensors")
