"""A directory of files that are a catalogue: read together, whatever file has what, and written a section a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tallystick.cli.catalog_yaml import Read, read_yaml, write_yaml
from tallystick.cli.failure import Failure
from tallystick.core.catalog_entries import CatalogEntries
from tallystick.core.catalog_reading import Problem, read_entries
from tallystick.core.period import Instant

SUFFIXES = {".yaml", ".yml"}
SCHEMA = "catalog.schema.json"
HEAD = f"# yaml-language-server: $schema=./{SCHEMA}\n"
SECTIONS = tuple(each.encode_name for each in msgspec.structs.fields(CatalogEntries))


class Where(NamedTuple):
    """A line of a file."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the files of a directory say together, where each value stands, and what is wrong, a sentence each."""

    catalog: dict[str, Any]
    places: Mapping[str, Where]
    problems: tuple[str, ...]

    def where(self, place: str) -> str:
        """The file and the line of a place such as `plans[0].pricings[1].startDate`, or of what it stands in."""
        while place:
            if place in self.places:
                return str(self.places[place])
            place = re.sub(r"(?:\.?[^.\[\]]+|\[\d+\])$", "", place)
        return ""


# ------------------------------------------------------------------------------------------------------ reading


def load(directory: Path) -> Loaded:
    """The catalogue of all YAML files below a directory. Failure where there are none."""
    files = [path for path in sorted(directory.rglob("*")) if path.suffix in SUFFIXES and path.is_file()]
    if not files:
        raise Failure(f"there are no YAML files in {directory}: `tallystick catalog pull` writes them")
    catalog: dict[str, Any] = {}
    places: dict[str, Where] = {}
    problems: list[str] = []
    for path in files:
        problems += _add(path, catalog, places)
    if not problems:
        loaded = Loaded(catalog, places, ())
        _, found = read_entries(catalog)
        problems = [said(each, loaded) for each in found]
    return Loaded(catalog, places, tuple(problems))


def said(problem: Problem, loaded: Loaded) -> str:
    """A problem with the file and the line where it is."""
    where = loaded.where(problem.place)
    hint = ""
    if re.fullmatch(r"Expected `(str|str \| null)`, got `.*`", problem.message):
        hint = " (a text that looks like a number or a word of YAML needs quotes)"
    return f"{where}: {problem.place}: {problem.message}{hint}" if where else f"{problem.place}: {problem.message}"


def _add(path: Path, catalog: dict[str, Any], places: dict[str, Where]) -> Iterator[str]:
    """Add what a file says; yields what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        yield f"{path}: cannot be read as UTF-8 text: {problem}"
        return
    read = read_yaml(text)
    yield from (f"{path}:{fault.line}: {fault.message}" for fault in read.faults)
    if read.faults:
        return
    if not isinstance(read.value, dict):
        yield f"{path}:1: must be a mapping of sections: {', '.join(SECTIONS)}"
        return
    for section, value in read.value.items():
        line = read.lines[(section,)]
        before = catalog.get(section)
        if section not in catalog:
            _place(path, read, (section,), section, 0, places)
            catalog[section] = value
        elif isinstance(before, list) and isinstance(value, list):
            _place(path, read, (section,), section, len(before), places)
            catalog[section] = before + value
        else:
            yield f"{path}:{line}: {section}: is there already, in {places[section]}"


def _place(path: Path, read: Read, way: tuple[str | int, ...], name: str, first: int, places: dict[str, Where]) -> None:
    """Note where the values of a section stand, the first of its members being the `first` of all files."""
    for each, line in read.lines.items():
        if each[:1] == way:
            shifted = (
                *each[:1],
                *(part + first if at == 0 and isinstance(part, int) else part for at, part in enumerate(each[1:])),
            )
            text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in shifted)
            places.setdefault(text[1:], Where(path, line))


# ------------------------------------------------------------------------------------------------------ writing


def save(directory: Path, catalog: Mapping[str, Any]) -> list[Path]:
    """Write a catalogue, each section to a file of its name, and the schema beside them; answers the files that were
    not so already. Failure where other files of YAML would be read together with these."""
    names = {f"{file_name(section)}.yaml": section for section in catalog}
    if directory.is_dir():
        others = [path for path in sorted(directory.rglob("*")) if path.suffix in SUFFIXES and path.is_file()]
        strange = [path for path in others if path.parent != directory or path.name not in names]
        if strange:
            raise Failure(
                f"{strange[0]} is none of the files that are written here and would be read with them: "
                f"write to another directory, or move it away"
            )
    directory.mkdir(parents=True, exist_ok=True)
    texts = {directory / name: HEAD + write_yaml({section: catalog[section]}) for name, section in names.items()}
    texts[directory / SCHEMA] = schema_text()
    changed = [path for path, text in texts.items() if not path.is_file() or path.read_bytes() != text.encode()]
    for path in changed:
        path.write_bytes(texts[path].encode())
    return changed


def file_name(section: str) -> str:
    """The name of the file of a section: `planTemplates` is in `plan-templates.yaml`."""
    return re.sub(r"[A-Z]", lambda found: f"-{found[0].lower()}", section)


# ------------------------------------------------------------------------------------------------------ schema


def schema_text() -> str:
    """The JSON Schema of the files (draft 2020-12), for editors and for whoever checks files without this program."""
    (top,), parts = msgspec.json.schema_components(
        [CatalogEntries], schema_hook=_instant, ref_template="#/$defs/{name}"
    )
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Catalogue", **top}
    text = msgspec.json.encode(_closed({**whole, "$defs": parts}), order="sorted")
    return msgspec.json.format(text, indent=2).decode() + "\n"


def _instant(of: type) -> dict[str, Any]:
    assert of is Instant, f"no schema for {of}"
    return {"type": "string", "description": "A day such as 2025-07-01, its midnight in UTC, or a day and a time."}


def _closed(schema: Any) -> Any:
    """Numbers may be written as texts too, and there are no fields but those that are named."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _closed(each) for name, each in schema.items() if name != "default"}
    if made.get("format") == "decimal":
        return {**{name: each for name, each in made.items() if name != "format"}, "type": ["number", "string"]}
    if "properties" in made and "type" in made:
        made["additionalProperties"] = False
    return made
