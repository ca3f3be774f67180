"""Ctrl-C is heard wherever it arrives.

Python drops an exception that is raised while an object is finalized, and tells of it on stderr. A
KeyboardInterrupt that arrives there, such as in the finalizer of a connection, would be lost, and a
command go on as if nobody had asked it to end. So it is sent again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

AGAIN_SECONDS = 0.01  # the finalizer has returned by then; if not, it is sent once more


def hear_everywhere() -> None:
    """From now on, for the whole process."""
    tell = sys.unraisablehook

    def dropped(what: Any) -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt):
            tell(what)
            return
        again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()

    sys.unraisablehook = dropped
