"""Templates of the invoice, and which one is in force: the organisation's, the operator's for all, or ours."""

from __future__ import annotations

from pathlib import Path

import msgspec

OWN = Path(__file__).parent


class Template(msgspec.Struct, frozen=True):
    """A template and its directory, below which it may read other files such as a letterhead."""

    text: str
    directory: Path


def template_text(name: str, directory: Path | None = None, organization_id: str = "") -> Template:
    """The template of this name: `DIRECTORY/ORGANIZATION/name`, then `DIRECTORY/name`, then ours. It is read each time,
    so that a changed one holds at once."""
    places = [] if directory is None else [directory / organization_id, directory]
    for place in (*places, OWN):
        try:
            return Template((place / name).read_text(encoding="utf-8"), place)
        except FileNotFoundError:
            continue
    raise AssertionError(f"there is no template {name}")
