"""Why transactions cannot be undone exactly."""

from myha.errors import RefusedError


class RewindRefusedError(RefusedError):
    """These transactions cannot be undone exactly; nothing on the server was changed."""
