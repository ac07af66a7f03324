"""Of the other side of a topic: how many publishers are alive, and how much of a flood is looked at."""

from __future__ import annotations

from collections.abc import Collection, Hashable


class LivePublishers:
    """Counts publishers without those that were killed.

    A killed process stays in the discovered graph until its lease ends, beside the one that takes
    its place. Whoever was known when the topic fell silent is taken for dead, unless it is still
    known after the lease.

    Args:
        silence: a longer time without a message is a silence [s].
        lease: after this time the graph has forgotten the dead [s].
    """

    def __init__(self, silence: float, lease: float = 25.0) -> None:
        self._silence, self._lease = silence, lease
        self._heard: float | None = None
        self._was_silent = False
        self._known: frozenset[Hashable] = frozenset()
        self._suspected: dict[Hashable, float] = {}

    def heard(self, steady_now: float) -> None:
        """A message came at ``steady_now`` [s]."""
        self._look(steady_now)
        self._heard = steady_now

    def _look(self, steady_now: float) -> None:
        if self._heard is not None and steady_now - self._heard > self._silence:
            self._was_silent = True

    def count(self, discovered: Collection[Hashable], steady_now: float) -> int:
        """Publishers alive.

        Args:
            discovered: identities of the publishers in the graph.
            steady_now: present time [s].
        """
        self._look(steady_now)
        discovered = frozenset(discovered)
        if self._was_silent:
            self._was_silent = False
            for identity in self._known:
                self._suspected.setdefault(identity, steady_now)
        self._suspected = {
            identity: since
            for identity, since in self._suspected.items()
            if identity in discovered and steady_now - since <= self._lease
        }
        self._known = discovered
        return len(discovered - self._suspected.keys())


class Allowance:
    """Lets so many messages a second pass, and so many at once.

    Args:
        rate: [1/s].
        burst: after a pause.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, float(burst)
        self._left, self._at = float(burst), -float("inf")

    def take(self, steady_now: float) -> bool:
        """Whether a message at ``steady_now`` [s] may pass."""
        self._left = min(self._burst, self._left + (steady_now - self._at) * self._rate)
        self._at = steady_now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class OneSpeaker:
    """Whether the messages on a topic come from one publisher, told by their sequence numbers.

    Each publisher counts its own messages, so that those of several do not follow each other. A publisher
    that is there but silent changes nothing.
    """

    _LOST = 20  # messages in a row that may get lost

    def __init__(self) -> None:
        self._last: int | None = None

    def heard(self, sequence: int | None, publishers: int) -> bool:
        """Whether a message comes from the publisher of the one before, or is the first.

        Args:
            sequence: number of the message at its publisher; None where the middleware does not tell.
            publishers: that are known of; where there are no numbers, one is asked for.
        """
        if sequence is None:
            return publishers <= 1
        last, self._last = self._last, sequence
        return last is None or 0 < sequence - last <= self._LOST + 1
