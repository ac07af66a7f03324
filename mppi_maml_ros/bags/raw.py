"""What storages have in common."""

from __future__ import annotations

import attrs


def _full(topic: str) -> str:
    return "/" + topic.lstrip("/")


@attrs.frozen
class Channel:
    """A topic with one type, as a bag holds it.

    Attributes:
        topic: full name, also where a writer left the slash out.
        kind: type, such as nav_msgs/msg/Odometry.
        definition: of the type, with those that it is made of; empty when the bag has none that is read.
    """

    topic: str = attrs.field(converter=_full)
    kind: str
    definition: str = ""
