"""Names of ROS as people type them."""

from __future__ import annotations

from rclpy.exceptions import NameValidationException
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_topic_name import validate_topic_name

from ..core.errors import InvalidValueError

_ALLOWED = "letters, digits and underscores between slashes, no part beginning with a digit"


def checked_namespace(namespace: str) -> str:
    """With a slash at its front; "/" for none.

    Raises:
        InvalidValueError: it is none.
    """
    full = "/" + namespace.strip("/")
    try:
        validate_namespace(full)
    except NameValidationException as error:
        raise InvalidValueError(f"a namespace has {_ALLOWED}, got {namespace!r}") from error
    return full


def checked_topic(topic: str) -> str:
    """As given.

    Raises:
        InvalidValueError: it is no name of a topic.
    """
    try:
        validate_topic_name(topic)
    except NameValidationException as error:
        raise InvalidValueError(f"a topic has {_ALLOWED}, got {topic!r}") from error
    return topic
