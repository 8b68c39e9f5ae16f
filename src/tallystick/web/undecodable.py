"""What cannot be decoded, as a refusal whose message leads with the field at fault."""

from __future__ import annotations

import msgspec

from tallystick.errors import Refusal

MISSING = "Object missing required field `"  # how msgspec says it


def refusal_of(problem: Exception) -> Refusal:
    """The refusal of a body that is no JSON, or JSON of another shape."""
    text = str(problem)
    if not isinstance(problem, msgspec.ValidationError):
        return Refusal("invalid_request", f"body: not readable as JSON: {text}")
    what, at, path = text.partition(" - at `")
    field = path.rstrip("`").removeprefix("$").lstrip(".") if at else ""
    if what.startswith(MISSING):
        field = f"{field}.{what.split('`')[1]}".lstrip(".")
    elif not field and ":" in what:
        field = what.partition(":")[0]
    message = what if field and what.startswith(field) else f"{field or 'body'}: {what}"
    return Refusal("invalid_request", message, field=field or None)
