"""What the balancers' watchers tell them of the shared address: one state, a thread for each."""

from __future__ import annotations

import threading
from collections.abc import Callable

from myha.core.address import Standing, Standings
from myha.core.balancer import BalancerLook
from myha.core.view import View


class SharedStandings:
    """`Standings` for several threads; each call is a few comparisons long."""

    def __init__(self, standings: Standings, view: Callable[[], View]) -> None:
        self._standings = standings
        self._view = view
        self._lock = threading.Lock()

    def __call__(self, name: str, look: BalancerLook) -> Standing:
        with self._lock:
            return self._standings.after(self._view(), name, look)
