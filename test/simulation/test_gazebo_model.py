import xml.etree.ElementTree as ElementTree

import attrs
import numpy as np
import pytest

from mppi_maml_ros.simulation.gazebo_model import sdf
from mppi_maml_ros.simulation.parameters import DEFAULT_RANGES, WorldParameters, randomize


def test_mass_inertia_and_friction_are_those_of_the_parameters():
    heavy = ElementTree.fromstring(sdf(WorldParameters(mass=2.0, inertia=1.5, coulomb=0.3)))
    plain = ElementTree.fromstring(sdf(WorldParameters()))

    def of(root, path):
        return float(root.find(f".//model[@name='robot']{path}").text)

    body = "/link[@name='base_link']/inertial"
    assert of(heavy, f"{body}/mass") == pytest.approx(2.0 * of(plain, f"{body}/mass"))
    assert of(heavy, f"{body}/inertia/izz") == pytest.approx(3.0 * of(plain, f"{body}/inertia/izz"), rel=1e-3)
    assert of(heavy, "/joint/axis/dynamics/friction") > of(plain, "/joint/axis/dynamics/friction") == 0.0


def test_every_drawn_robot_is_well_formed_and_another():
    texts = {sdf(randomize(np.random.default_rng(seed), DEFAULT_RANGES)) for seed in range(5)}
    assert len(texts) == 5
    for text in texts:
        assert ElementTree.fromstring(text).get("version") == "1.9"
    slippery = sdf(attrs.evolve(WorldParameters(), acceleration_limit=1.0))
    assert "<mu>0.1019</mu>" in slippery
