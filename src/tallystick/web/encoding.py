"""Bodies that come compressed, by gzip, deflate or zstd: unpacked to a bounded size whatever they claim."""

from __future__ import annotations

import sys
import zlib
from typing import Protocol

from tallystick.errors import Refusal

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

PLAIN = {"", "identity"}
GZIP = 16 + zlib.MAX_WBITS  # zlib's number for a gzip header
MAX_MEMBERS = 100  # gzip members or zstd frames in a row that are one body; each costs a copy of what follows
WINDOW_LOG = 23  # a frame may ask for 8 MiB of memory to be unpacked in, which every encoder keeps to by default


class _Unpacker(Protocol):
    """One gzip member or zstd frame being unpacked."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """The body as it was before its Content-Encoding; of a longer one only `most` + 1 bytes are ever made.

    Refusals: `unsupported_encoding`; `invalid_request` where the body is not what the header says, or is cut short.
    """
    name = encoding.strip().lower()
    if name in PLAIN:
        return body
    if name not in _UNPACKERS:
        message = f"Content-Encoding: must be gzip, deflate, zstd or absent, got {encoding[:40]!r}"
        raise Refusal("unsupported_encoding", message, field="Content-Encoding")
    parts: list[bytes] = []
    left = most + 1
    try:
        for _ in range(MAX_MEMBERS):
            if not (body and left):
                return b"".join(parts)
            unpacker = _UNPACKERS[name]()
            part = unpacker.decompress(body, left)
            parts.append(part)
            left -= len(part)
            if not unpacker.eof and left:
                raise Refusal("invalid_request", f"body: the {name} data is cut short", field="body")
            body = unpacker.unused_data
    except (zlib.error, ZstdError) as problem:
        raise Refusal("invalid_request", f"body: is no {name} data: {problem}", field="body") from None
    raise Refusal("invalid_request", f"body: more than {MAX_MEMBERS} pieces of {name} data in a row", field="body")


def _gunzip() -> _Unpacker:
    return zlib.decompressobj(GZIP)


def _unzstd() -> _Unpacker:
    return ZstdDecompressor(options={DecompressionParameter.window_log_max: WINDOW_LOG})


def _inflate() -> _Unpacker:
    return zlib.decompressobj()


_UNPACKERS = {"gzip": _gunzip, "x-gzip": _gunzip, "deflate": _inflate, "zstd": _unzstd}
