"""Decoders for types, built one at a time.

msgspec notes what it finds out about a type on the type itself, and another thread may see the note half written: one
that builds or uses a decoder of the same type at that moment hangs or crashes the process (msgspec 0.22.0;
`tests/test_decoders.py` shows it). So whatever builds a decoder while several threads are at work does it here.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

_ONE = threading.RLock()  # building a decoder may run code of the type, which may need a decoder


def build(of: Any, **hooks: Any) -> msgspec.json.Decoder[Any]:
    """A decoder of JSON for a type; `hooks` are those of msgspec. Once it is there, any thread may use it."""
    with _ONE:
        return msgspec.json.Decoder(of, **hooks)
