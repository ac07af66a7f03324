"""Frame ids of odometry: as configured, or those of the first message."""

from __future__ import annotations

ANY = "any non-empty frame"
UNNAMED = "base_link"  # what REP-105 calls a base whose odometry does not name it


class FrameLatch:
    """Frame ids to expect.

    Args:
        odom_frame, base_frame: expected ``frame_id`` and ``child_frame_id``; empty: whatever the
            first message that could be meant says, from then on; of a base that it does not name,
            ``base_link``.
    """

    def __init__(self, odom_frame: str = "", base_frame: str = "") -> None:
        self._odom, self._base = odom_frame, base_frame

    @property
    def latched(self) -> bool:
        """Both are known."""
        return bool(self._odom and self._base)

    @property
    def odom_frame(self) -> str:
        """Expected frame of poses."""
        return self._odom or ANY

    @property
    def base_frame(self) -> str:
        """Expected frame of twists."""
        return self._base or ANY

    def offer(self, frame_id: str, child_frame_id: str) -> bool:
        """Take the frame ids of a message; True when they complete what was not known."""
        if self.latched or not frame_id:
            return False
        child_frame_id = child_frame_id or self._base or UNNAMED
        if self._odom not in ("", frame_id) or self._base not in ("", child_frame_id):
            return False
        self._odom, self._base = frame_id, child_frame_id
        return True
