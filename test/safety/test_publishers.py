"""Whether commands come from one publisher."""

import pytest

from mppi_maml_ros.safety.publishers import OneSpeaker


def heard(sequences, publishers=1):
    speaker = OneSpeaker()
    return [speaker.heard(sequence, publishers) for sequence in sequences]


@pytest.mark.fault(78)
@pytest.mark.parametrize("sequences", [[1, 2, 3], [700, 701, 703, 704], [5, 26]])
def test_one_publisher_is_trusted_even_if_messages_get_lost(sequences):
    assert all(heard(sequences, publishers=2)), "another that is silent changes nothing"


@pytest.mark.fault(78)
@pytest.mark.parametrize("other", [1, 90, 99, 100, 101, 105, 5000])
@pytest.mark.parametrize("every", [1, 3])
def test_messages_of_two_publishers_are_told_apart_soon(other, every):
    sequences, own = [], 100
    for step in range(12):
        sequences.append(own + step)
        if step % every == 0:
            sequences.append(other + step // every)
    trusted = heard(sequences)
    runs = "".join("1" if value else "0" for value in trusted)
    assert "0" in runs[:3] and "1" * (every + 3) not in runs[3:], runs


@pytest.mark.fault(78)
def test_a_publisher_that_starts_again_is_doubted_once():
    assert heard([40, 41, 1, 2, 3]) == [True, True, False, True, True]


@pytest.mark.fault(78)
@pytest.mark.parametrize("publishers, trusted", [(0, True), (1, True), (2, False)])
def test_without_numbers_one_publisher_is_asked_for(publishers, trusted):
    assert heard([None, None], publishers) == [trusted, trusted]
