"""Modules loaded in less time, by whoever is the main program of its process."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Around imports: no garbage is looked for, then or later, among what they make.

    Nearly all of it stays for good, and each search of it takes longer than the last: a tenth of a
    start was that.
    """
    was_on, loaded = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > loaded:
            gc.freeze()
        if was_on:
            gc.enable()
