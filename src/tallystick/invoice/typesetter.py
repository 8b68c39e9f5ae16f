"""The process that typesets: reads jobs from its standard input, writes PDF to its standard output.

It is started as a file of its own and imports nothing of the product. Templates are files that people write: what one
of them could do is bounded here. It reads files below the directory of its template only, gets no network, no more
memory than `MEMORY_BYTES`, and is ended by the alarm of the system when a job takes too long, whatever it does.

A job and its answer are frames: a length of four bytes, then so many bytes. Job: JSON, then the template. Answer: JSON,
then the PDF. The data reaches the template as `sys.inputs.data`, in JSON: it is never part of its text.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import unicodedata
from collections.abc import Iterator
from typing import IO

MEMORY_BYTES = 4 * 1024**3  # of addresses; fonts are mapped, not read
# The compiler fetches packages that a template names. Nobody listens there.
NOWHERE = "http://127.0.0.1:9"
# What needs no shape of its own: controls, formats, separators, what is not assigned.
SHAPELESS = {"Cc", "Cf", "Zs", "Zl", "Zp", "Cn", "Cs", "Mn"}


def frames(source: IO[bytes]) -> Iterator[bytes]:
    """Frames until the input ends."""
    while len(head := source.read(4)) == 4:
        size = struct.unpack(">I", head)[0]
        body = source.read(size)
        if len(body) < size:
            return
        yield body


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


class Coverage:
    """Which characters the fonts have a shape for, read once it is asked."""

    def __init__(self, files: list[str]) -> None:
        self._files = files
        self._known: set[int] | None = None

    def missing(self, text: str) -> str:
        """The characters of a text without a shape in any font, each once, in order."""
        wanted = {each for each in set(text) if ord(each) > 0x24F and unicodedata.category(each) not in SHAPELESS}
        if not wanted:
            return ""
        if self._known is None:
            self._known = {code for file in self._files for code in _codes(file)}
        return "".join(sorted(each for each in wanted if ord(each) not in self._known))


def _codes(file: str) -> set[int]:
    from fontTools.ttLib import TTFont, TTLibError

    try:
        with TTFont(file, fontNumber=0, lazy=True) as font:
            return set(font.getBestCmap() or {})
    except (TTLibError, OSError):
        return set()


def main(font_directories: list[str]) -> None:
    """Serve until the input ends."""
    os.environ.update(dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE))
    import resource

    import typst

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=font_directories)
    coverage = Coverage(sorted({font.path for font in fonts.fonts() if font.path}))
    compilers: dict[str, typst.Compiler] = {}
    incoming = frames(sys.stdin.buffer)
    for head in incoming:
        job, source = json.loads(head), next(incoming)
        signal.alarm(job["seconds"])
        root = job["root"]
        if root not in compilers:
            compilers[root] = typst.Compiler(root=root, font_paths=fonts)
        answer: dict[str, object] = {}
        pdf = b""
        try:
            made = compilers[root].compile(
                source, format="pdf", sys_inputs={"data": job["data"]}, timestamp=job["timestamp"]
            )
            assert isinstance(made, bytes), "PDF comes in one piece"
            pdf = made
            answer["missing"] = coverage.missing(job["data"])
        except typst.TypstError as problem:
            answer["error"] = str(problem)
        signal.alarm(0)
        sys.stdout.buffer.write(frame(json.dumps(answer).encode()) + frame(pdf))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
