"""What ends a build."""


class FailedError(Exception):
    """The image cannot be built; the message says why, and what would help."""
