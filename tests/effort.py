"""How hard tests that draw their examples try: EFFORT=100 draws a hundred times as many, other ones each time."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, Phase

EFFORT = int(os.environ.get("EFFORT", "1"))


def drawing(examples: int, *, shrink: bool = True) -> dict[str, Any]:
    """Settings of Hypothesis: so many examples, always the same ones, unless more effort is asked for."""
    return {
        "max_examples": examples * EFFORT,
        "derandomize": EFFORT == 1,
        "database": None,
        "deadline": None,
        "phases": (Phase.explicit, Phase.generate, Phase.shrink) if shrink else (Phase.explicit, Phase.generate),
        "suppress_health_check": list(HealthCheck),
    }
