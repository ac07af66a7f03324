"""What storages have in common."""

from __future__ import annotations

import attrs


def full_name(topic: str) -> str:
    """With the slash that people and some writers leave out."""
    return "/" + topic.lstrip("/")


@attrs.frozen
class Channel:
    """A topic with one type, as a bag holds it.

    Attributes:
        topic: full name.
        kind: type, such as nav_msgs/msg/Odometry.
        definition: of the type, with those that it is made of; empty when the bag has none that is read.
    """

    topic: str = attrs.field(converter=full_name)
    kind: str
    definition: str = ""
