"""Who runs this process."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """The user's name; the number where this machine has no name for it, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # which of them says so depends on Python's version
        return str(os.getuid())
