"""The id of a request, by which its answer, its entries in the audit and what others log of it find each other."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

REQUEST_ID = "x-request-id"
_FINE = re.compile(r"[A-Za-z0-9_.:-]{1,80}")


def request_id_of(headers: Mapping[str, str]) -> str:
    """The id that the client gave its request, or a new one."""
    given = headers.get(REQUEST_ID, "")
    return given if _FINE.fullmatch(given) else str(uuid.uuid4())
