"""Many loops at once say what one alone says."""

import numpy as np
import pytest

from mppi_maml_ros.core.kernels.simd import LANES
from mppi_maml_ros.dynamics.identification import loops, second_order

DT, TAPS = 0.05, 5


@pytest.mark.parametrize("gain", [0.0, 0.95])
def test_every_lane_has_the_sums_of_its_loop(gain):
    rng = np.random.default_rng(0)
    base, first = rng.normal(size=(90, 2 * TAPS + 4)), np.zeros(90, dtype=bool)
    first[[0, 20, 27]] = True
    points = rng.uniform((2.0, 0.1, 0.0, 0.02), (15.0, 2.0, 2.0, 0.4), (LANES, 4))
    points[0, 2] = 2.0
    space, gram = loops.new_space(), np.empty((4, 4))
    for lane, (w, d, delay, process) in enumerate(points):
        loops.put(space, lane, *second_order._discrete(w, d, delay, DT), process, w, gain)
    loops.respond(base, first, space)
    for lane, (w, d, delay, process) in enumerate(points):
        phi, newer, older, whole = second_order._discrete(w, d, delay, DT)
        gains, scale = second_order._gains(phi, process, w)
        expected = np.empty((4, 4))
        log_det = second_order._grams(
            base, first, TAPS, phi, newer, older, whole, gains, scale, expected
        )  # fmt: skip
        found, settled = loops.gram_of(space, lane, loops.rows_by_age(first), gram)
        lower, size = np.tril_indices(4), np.sqrt(np.diag(expected))
        assert gram[lower] == pytest.approx(expected[lower], rel=1e-4, abs=1e-4 * (size @ size))
        assert found == pytest.approx(log_det, rel=1e-4) and settled == pytest.approx(scale[-1], rel=1e-4)


def test_the_search_ends_at_least_as_high_as_where_it_began():
    rng = np.random.default_rng(1)
    base, first, found = rng.normal(size=(60, 2 * TAPS + 4)), np.arange(60) == 0, np.empty(8)
    common = (base, first, np.array([1.0, 0.25, 4.0]), np.zeros(3), np.ones(3), TAPS, DT)
    best = second_order._search(
        *common, second_order.FREQUENCIES, second_order.DAMPINGS, second_order.PROCESS, -np.inf, found
    )
    best += 0.5 * second_order.SEARCHED * np.log(60)
    assert best == pytest.approx(second_order._likelihood(*common, *found[:4].copy(), np.empty(8)))
    for w in second_order.FREQUENCIES:
        for d in second_order.DAMPINGS:
            for delay in (0.0, 1.0, 2.0):
                at_start = second_order._likelihood(
                    *common, w, d, delay, second_order.PROCESS[0], np.empty(8)
                )
                assert best >= at_start - 1e-2
