"""The exact response of an axis, against small steps."""

import numpy as np
import pytest

from mppi_maml_ros.calibration.response import advance, effective


def by_small_steps(x, target, h, tau, up, down, count=4000):
    way, dt = 0.0, h / count
    for _ in range(count):
        pull = (target - x) / tau
        limit = up if x * pull >= 0.0 else down
        after = x + dt * np.clip(pull, -limit, limit)
        way += 0.5 * (x + after) * dt
        x = after
    return x, way


@pytest.mark.parametrize("seed", range(60))
def test_the_exact_response_is_that_of_small_steps(seed):
    rng = np.random.default_rng(seed)
    x, target = rng.uniform(-0.6, 0.6, 2)
    tau, up, down = rng.choice([0.05, 0.2]), *rng.choice([0.5, 1.0, 1.5, 1e3], 2)
    h = rng.uniform(0.001, 0.5)
    np.testing.assert_allclose(
        advance(x, target, h, tau, up, down), by_small_steps(x, target, h, tau, up, down), atol=2e-3
    )


def test_dead_bands():
    assert effective(0.09, 0.1, 0.1) == 0.0
    assert effective(-0.3, 0.1, 0.1) == pytest.approx(-0.2)
    assert effective(0.15, 0.0, 0.1) == pytest.approx(0.15), "only to be overcome"
