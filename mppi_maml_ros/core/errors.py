"""Exceptions with a meaning to the caller; all derive from :class:`MppiMamlError`."""

NEEDS_TORCH = "meta-training, comparisons and CUDA need torch: pip install 'mppi_maml_ros[learn]'"


class MppiMamlError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidValueError(MppiMamlError, ValueError):
    """A value is out of its allowed range, of the wrong shape, or not finite.

    The message names the value and what is allowed.
    """


class ArtifactError(MppiMamlError):
    """A weights artifact cannot be read, written or trusted."""


class NoValidControlError(MppiMamlError):
    """Every rollout had a non-finite cost, retries included."""


class InvalidPathError(MppiMamlError, ValueError):
    """A path cannot be followed: empty, not finite, or in another frame."""
