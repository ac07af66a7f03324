import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.safety.codes import Code
from mppi_maml_ros.safety.watchdog import OdometryWatchdog


class Feed:
    """A watchdog with node and steady clocks that differ by an offset."""

    def __init__(self, **arguments):
        self.dog = OdometryWatchdog(**arguments)
        self.steady = 10.0
        self.offset = 1000.0

    @property
    def now(self):
        return self.steady + self.offset

    def good(self, count=1, gap=0.05):
        for _ in range(count):
            self.steady += gap
            self.dog.accept(self.now, self.steady)
        return self

    def wait(self, seconds):
        self.steady += seconds
        return self

    def check(self, **arguments):
        return self.dog.check(self.now, self.steady, **arguments)


@pytest.fixture
def feed():
    return Feed()


@pytest.fixture
def alive(feed):
    assert feed.good(5).check().alive
    return feed


@pytest.mark.fault(1)
def test_before_any_odometry_it_is_not_alive_and_nothing_is_wrong(feed):
    health = feed.wait(100.0).check()
    assert not health.alive and health.code is Code.NONE and health.reason == ""


@pytest.mark.fault(70)
def test_odometry_too_slow_is_told_with_its_rate_and_what_is_needed(feed):
    assert feed.good(2, gap=0.2).check().code is Code.NONE, "one gap is no rate"
    health = feed.good(1, gap=0.2).check()
    assert not health.alive and health.code is Code.ODOMETRY_TIMEOUT
    assert "5.0 Hz" in health.reason and "6.7 Hz" in health.reason
    assert "Hz" in feed.wait(1.9).check().reason and "Hz" not in feed.wait(0.2).check().reason
    assert feed.good(5).check().alive


@pytest.mark.fault(70)
def test_odometry_that_becomes_too_slow_is_told_so(alive):
    assert "no usable odometry" in alive.wait(0.3).check().reason
    alive.dog.accept(alive.now, alive.steady)
    assert "4.0 Hz" in alive.good(2, gap=0.25).check().reason
    alive.dog.reject(Code.ODOMETRY_INVALID, "bad", alive.steady)
    assert alive.check().reason == "bad"
    alive.dog.reset(Code.CLOCK_JUMP, "jumped")
    assert alive.check().reason == "jumped"


@pytest.mark.fault(70)
def test_gaps_without_a_rate_are_not_called_one(feed):
    assert feed.good(5, gap=2.1).check().code is Code.NONE


@pytest.mark.fault(2)
@pytest.mark.parametrize("count, alive", [(4, False), (5, True)])
def test_five_good_messages_bring_it_to_life(feed, count, alive):
    assert feed.good(count).check().alive == alive


@pytest.mark.fault(2)
@pytest.mark.parametrize("silence, alive_after", [(0.249, True), (0.251, False)])
def test_it_trips_after_a_quarter_of_a_second_of_silence(alive, silence, alive_after):
    health = alive.wait(silence).check()
    assert health.alive == alive_after
    assert health.code is (Code.NONE if alive_after else Code.ODOMETRY_TIMEOUT)
    assert alive_after or "0.251 s" in health.reason


@pytest.mark.fault(2)
@pytest.mark.parametrize("silence, alive_after", [(0.199, True), (0.201, False)])
def test_it_trips_early_when_the_next_check_would_be_too_late(alive, silence, alive_after):
    assert alive.wait(silence).check(lookahead=0.05).alive == alive_after


def test_looking_ahead_takes_at_most_half_of_the_timeout(alive):
    assert alive.wait(0.124).check(lookahead=10.0).alive
    assert not alive.wait(0.002).check(lookahead=10.0).alive


@pytest.mark.fault(2)
def test_it_resumes_after_five_good_messages_and_a_second(alive):
    alive.wait(0.3).check()
    alive.good(19)
    assert not alive.check().alive, "0.95 s after it tripped"
    health = Feed.check(alive.good(2))
    assert not health.alive, "1.05 s, but less than two seconds after it came to life"
    alive.good(20)
    assert alive.check().alive
    assert alive.dog.transitions == 3


@pytest.mark.fault(2)
def test_after_a_long_silence_five_good_messages_are_enough(alive):
    alive.wait(0.3).check()
    alive.wait(5.0).check()
    assert not alive.good(4).check().alive
    assert alive.good(1).check().alive


@pytest.mark.fault(2)
def test_it_resumes_only_while_messages_are_fresh(alive):
    alive.wait(0.3).check()
    alive.wait(5.0).good(5).wait(0.151)
    assert not alive.check().alive


@pytest.mark.fault(3)
def test_a_stutter_at_the_edge_of_the_timeout_trips_it_once(alive):
    rng = np.random.default_rng(1)
    states = []
    for gap in rng.uniform(0.2, 0.3, size=400):
        for part in (0.5, 0.5):
            alive.wait(part * gap)
            states.append(alive.check().alive)
        alive.dog.accept(alive.now, alive.steady)
        states.append(alive.check().alive)
    assert alive.dog.transitions == 2, "to life, and tripped"
    assert not states[-1]


@pytest.mark.fault(3)
@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    gaps=st.lists(
        st.sampled_from([0.01, 0.05, 0.1, 0.14, 0.16, 0.24, 0.26, 0.4, 1.0]), min_size=50, max_size=150
    )
)
def test_whatever_the_gaps_it_changes_its_mind_at_most_once_a_second_on_average(gaps):
    feed = Feed()
    changes, before = [], False
    for gap in gaps:
        left = gap
        while left > 0.0:
            feed.wait(min(0.05, left))
            left -= 0.05
            now_alive = feed.check().alive
            if now_alive != before:
                changes.append(feed.steady)
                before = now_alive
        feed.dog.accept(feed.now, feed.steady)
    resumes = np.array(changes[::2])
    assert (np.diff(resumes) >= 2.0 - 1e-9).all()
    trips = np.array(changes[1::2])
    assert (resumes[1:] - trips[: len(resumes) - 1] >= 1.0 - 1e-9).all()
    assert feed.dog.transitions == len(changes)


@pytest.mark.fault(3)
def test_a_gap_during_recovery_starts_the_count_anew(feed):
    feed.good(4).good(1, gap=0.151)
    assert not feed.check().alive
    assert not feed.good(3).check().alive
    assert feed.good(1).check().alive


@pytest.mark.fault(4)
def test_a_bad_message_during_recovery_starts_the_count_anew_and_is_the_reason(feed):
    feed.good(4)
    feed.dog.reject(Code.ODOMETRY_INVALID, "a NaN", feed.steady)
    health = feed.check()
    assert (health.alive, health.code, health.reason) == (False, Code.ODOMETRY_INVALID, "a NaN")
    assert not feed.good(4).check().alive
    assert feed.good(1).check().alive


@pytest.mark.fault(4)
def test_bad_messages_do_not_keep_it_alive_and_name_the_cause(alive):
    for _ in range(6):
        alive.wait(0.05)
        alive.dog.reject(Code.ODOMETRY_INVALID, "a NaN", alive.steady)
    assert alive.check().code is Code.ODOMETRY_INVALID
    health = alive.wait(2.01).check()
    assert health.code is Code.ODOMETRY_TIMEOUT, "when even the bad messages end, that is the cause"


def test_one_bad_message_among_good_ones_changes_nothing(alive):
    alive.dog.reject(Code.ODOMETRY_INVALID, "a NaN", alive.steady)
    assert alive.good(1).check().alive


@pytest.mark.fault(9)
def test_a_message_that_came_twice_neither_refreshes_nor_breaks_a_run(feed):
    for _ in range(5):
        feed.good(1)
        feed.dog.reject(Code.ODOMETRY_STALE, "twice", feed.steady, harmless=True)
    assert feed.check().alive
    for _ in range(6):
        feed.wait(0.05)
        feed.dog.reject(Code.ODOMETRY_STALE, "frozen", feed.steady, harmless=True)
    health = feed.check()
    assert not health.alive and health.code is Code.ODOMETRY_STALE and health.reason == "frozen"


@pytest.mark.fault(9)
def test_one_repeated_message_before_silence_is_not_the_cause_of_it(alive):
    alive.wait(0.01)
    alive.dog.reject(Code.ODOMETRY_STALE, "twice", alive.steady, harmless=True)
    assert alive.wait(0.3).check().code is Code.ODOMETRY_TIMEOUT


@pytest.mark.fault(12)
@pytest.mark.parametrize("age, alive_after", [(0.499, True), (0.501, False)])
def test_an_old_stamp_trips_it_although_messages_arrive(alive, age, alive_after):
    alive.dog.accept(alive.now - age, alive.steady)
    health = alive.check()
    assert health.alive == alive_after
    assert alive_after or health.code is Code.ODOMETRY_STALE


@pytest.mark.fault(12)
def test_old_stamps_do_not_bring_it_to_life(feed):
    feed.good(4)
    feed.dog.accept(feed.now - 0.6, feed.steady)
    assert not feed.check().alive


@pytest.mark.fault(15)
def test_a_node_clock_that_stands_still_cannot_hide_the_silence(alive):
    frozen = alive.now
    assert not alive.dog.check(frozen, alive.steady + 0.3).alive


@pytest.mark.parametrize("now, steady", [(math.nan, 0.0), (0.0, math.nan)])
def test_a_clock_that_is_not_a_number_trips_it(alive, now, steady):
    assert not alive.dog.check(alive.now + now, alive.steady + steady).alive


@pytest.mark.fault(6)
def test_tripped_from_outside_it_needs_a_run_of_good_messages_and_a_second(alive):
    alive.dog.trip(Code.ODOMETRY_TELEPORT, "jumped", alive.steady)
    health = alive.check()
    assert (health.alive, health.code, health.reason) == (False, Code.ODOMETRY_TELEPORT, "jumped")
    assert not alive.good(4).check().alive
    assert alive.good(40).check().alive
    assert alive.dog.transitions == 3


def test_tripping_twice_is_one_transition_and_postpones_nothing(alive):
    alive.dog.trip(Code.ODOMETRY_TELEPORT, "one", alive.steady)
    alive.wait(1.9)
    alive.dog.trip(Code.MULTIPLE_ODOMETRY_PUBLISHERS, "two", alive.steady)
    assert alive.dog.transitions == 2
    assert alive.check().code is Code.MULTIPLE_ODOMETRY_PUBLISHERS
    assert alive.good(5).check().alive


@pytest.mark.fault(13)
def test_after_a_reset_only_fresh_messages_count_but_at_once(alive):
    alive.good(5).dog.reset(Code.CLOCK_JUMP, "jumped")
    health = alive.check()
    assert (health.alive, health.code, health.reason) == (False, Code.CLOCK_JUMP, "jumped")
    assert alive.dog.transitions == 2
    assert not alive.good(4).check().alive
    assert alive.good(1).check().alive


@pytest.mark.fault(13)
def test_a_reset_forgets_rejections(feed):
    feed.dog.reject(Code.ODOMETRY_FRAME, "frame", feed.steady)
    feed.dog.reset(Code.CLOCK_JUMP, "jumped")
    assert feed.check().code is Code.CLOCK_JUMP
    assert feed.dog.transitions == 0


@pytest.mark.parametrize(
    "field", ["timeout", "stamp_timeout", "resume_gap", "min_stop", "min_cycle", "resume_count"]
)
@pytest.mark.parametrize("bad", [0, -1, math.nan])
def test_thresholds_out_of_range_are_refused_by_name(field, bad):
    with pytest.raises(InvalidValueError, match=field):
        OdometryWatchdog(**{field: bad})


# Times that are exact in binary, so that each threshold can be met to the last bit.

EXACT = {"timeout": 0.25, "stamp_timeout": 0.5, "resume_gap": 0.125, "min_stop": 1.0, "min_cycle": 2.0}


@pytest.fixture
def exact():
    feed = Feed(**EXACT)
    feed.steady = 16.0
    assert feed.good(5, gap=0.125).check().alive
    return feed


@pytest.mark.fault(2)
def test_a_silence_of_just_the_timeout_is_not_too_long(exact):
    assert exact.wait(0.25).check().alive
    assert not exact.wait(2.0**-20).check().alive


@pytest.mark.fault(12)
def test_a_stamp_of_just_the_oldest_age_is_not_too_old(exact):
    exact.dog.accept(exact.now - 0.5, exact.steady)
    assert exact.check().alive
    exact.dog.accept(exact.now - 0.5 - 2.0**-20, exact.steady)
    health = exact.check()
    assert not health.alive and "0.500 s old" in health.reason


@pytest.mark.fault(2)
def test_it_comes_back_just_when_each_threshold_is_met(exact):
    exact.wait(0.5).check()
    tripped = exact.steady
    while exact.steady + 0.125 < tripped + 1.5:
        exact.good(1, gap=0.125)
    assert not exact.check().alive, "two seconds between recoveries are not over"
    assert exact.good(1, gap=0.125).check().alive
    assert exact.steady == 16.625 + 2.0


@pytest.mark.fault(3)
def test_after_a_long_life_it_is_tripped_for_at_least_a_second(exact):
    for _ in range(20):
        assert exact.good(1, gap=0.125).check().alive
    exact.dog.trip(Code.ODOMETRY_TELEPORT, "jumped", exact.steady)
    for _ in range(7):
        assert not exact.good(1, gap=0.125).check().alive
    assert exact.good(1, gap=0.125).check().alive


@pytest.mark.fault(2)
def test_it_comes_back_with_messages_just_as_old_as_the_gap_and_the_age_allow():
    feed = Feed(**EXACT)
    feed.steady = 16.0
    feed.good(4, gap=0.125).wait(0.125)
    feed.dog.accept(feed.now - 0.375, feed.steady)
    assert feed.wait(0.125).check().alive


@pytest.mark.fault(9)
def test_a_harmless_message_just_within_the_gap_is_no_reason(exact):
    exact.wait(0.125)
    exact.dog.reject(Code.ODOMETRY_STALE, "twice", exact.steady, harmless=True)
    assert exact.wait(0.25).check().code is Code.ODOMETRY_TIMEOUT


@pytest.mark.fault(4)
def test_a_rejection_explains_for_as_long_as_two_seconds(exact):
    exact.dog.reject(Code.ODOMETRY_FRAME, "frame", exact.steady)
    assert exact.wait(2.0).check().code is Code.ODOMETRY_FRAME
    assert exact.wait(2.0**-20).check().code is Code.ODOMETRY_TIMEOUT


@pytest.mark.fault(4)
def test_a_rejection_before_the_last_good_message_explains_nothing(exact):
    exact.dog.reject(Code.ODOMETRY_FRAME, "frame", exact.steady)
    assert exact.good(1, gap=0.125).wait(0.3).check().code is Code.ODOMETRY_TIMEOUT


@pytest.mark.fault(17)
def test_as_long_as_it_is_tripped_from_outside_good_messages_do_not_add_up(exact):
    for _ in range(40):
        exact.dog.trip(Code.MULTIPLE_ODOMETRY_PUBLISHERS, "two", exact.steady)
        assert not exact.good(1, gap=0.125).check().alive
    exact.dog.trip(Code.MULTIPLE_ODOMETRY_PUBLISHERS, "two", exact.steady)
    assert not exact.good(4, gap=0.125).check().alive
    assert exact.good(1, gap=0.125).check().alive


def test_one_good_message_may_be_enough_if_so_configured():
    feed = Feed(resume_count=1)
    assert feed.good(1).check().alive


@pytest.mark.parametrize("field", ["timeout", "stamp_timeout", "resume_gap", "min_stop", "min_cycle"])
def test_infinite_times_are_refused_by_name(field):
    with pytest.raises(InvalidValueError, match=field):
        OdometryWatchdog(**{"resume_gap": 0.1, field: math.inf})
