"""What the steps of a working have in common."""

from __future__ import annotations

import msgspec


class Step(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel", tag_field="step", omit_defaults=True):
    """Base of the steps; on paper each one carries its name as `step`."""
