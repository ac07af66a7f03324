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
    with pytest.raises(ArtifactError):
        MetaModel.load(tmp_path / "m.safetensors")


def test_another_kind_of_artifact_is_refused(tmp_path):
    path = artifact.save(tmp_path / "m.safetensors", {"a": np.zeros(1)}, {"kind": "other"})
    with pytest.raises(ArtifactError, match="kind"):
        MetaModel.load(path)
