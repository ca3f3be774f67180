"""Tests on a real Docker engine: `make test-containers` runs them and starts an engine for them.

Without MYHA_TEST_CONTAINERS, which that sets, they are not collected: they need the images of
`compose/images` and most of the machine's two cores.
"""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("MYHA_TEST_CONTAINERS") else ["test_*.py"]
