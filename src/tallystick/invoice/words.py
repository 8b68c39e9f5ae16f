"""The fixed words of an invoice in each language: files of `words/`, which an operator can extend or change."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from babel import Locale

OWN = Path(__file__).parent / "words"


def words_of(locale: Locale, directory: Path | None = None) -> Mapping[str, str]:
    """The words of the nearest language: first `pt_BR.toml`, then `pt.toml`, then English, each of the operator's
    directory before ours. A word that a file lacks comes from the next one."""
    names = [name for name in _names(locale) if name] or ["en"]
    found: dict[str, str] = {}
    for name in reversed(dict.fromkeys([*names, "en"])):
        found |= _own(name)
        if directory is not None:
            found |= _read(directory / f"{name}.toml")
    return found


def _names(locale: Locale) -> list[str]:
    parts = [locale.language, locale.script, locale.territory]
    whole = "_".join(part for part in parts if part)
    return [whole, "_".join(part for part in (locale.language, locale.script) if part), locale.language]


@cache
def _own(name: str) -> dict[str, str]:
    return _read(OWN / f"{name}.toml")


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    return {key: str(value) for key, value in tomllib.loads(text).items()}
