"""The benchmarks' modules lie outside the package: tests of their parts find them here."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent.parent / "bench"))
