"""YAML as files of the catalogue have it: read with the line of everything, numbers exact, and written the same always.

Read is YAML 1.2: `no` and `on` are texts, `012` is twelve, dates are texts. No key twice, no types but the plain ones.
Written is what older readers of YAML take alike: whatever they would take for something else stands in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import yaml

from tallystick.core import wire
from tallystick.core.quantity import plain

MOST_VALUES = 500_000  # of a file: aliases make few bytes into many values
MOST_DEPTH = 50
_PLAIN = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_ONE_LINE = {"pricingBands", "overagePricingBands", "segments"}  # members that stand on a line each

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong on a line."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Read:
    """A file as plain values: `lines` says where each value stands, by the way to it."""

    value: Any
    lines: Mapping[Place, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def _indented(self: Any, flow: bool = False, indentless: bool = False) -> None:
    """Lists stand further in than what they are of."""
    yaml.SafeDumper.increase_indent(self, flow, False)


# Takes for more than a text only what YAML 1.2 does in its core schema.
_LOADER: Any = type("Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": {}})
_LOADER.add_implicit_resolver(f"{_PLAIN}null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_LOADER.add_implicit_resolver(f"{_PLAIN}bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
# Quotes what YAML 1.1 or 1.2 would take for anything but the text that it is.
_DUMPER: Any = type("Dumper", (yaml.SafeDumper,), {"increase_indent": _indented})
for _each in (_LOADER, _DUMPER):
    _each.add_implicit_resolver(f"{_PLAIN}float", re.compile(f"^{_NUMBER.pattern}$"), list("-+.0123456789"))


# ------------------------------------------------------------------------------------------------------ reading


def read_yaml(text: str) -> Read:
    """The one document of a text, with all that is wrong with it."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        said = problem.problem or problem.context or "is no YAML"
        return Read(None, {}, (Fault(mark.line + 1 if mark else 1, f"is no YAML: {said}"),))
    except yaml.reader.ReaderError as problem:
        line = text.count("\n", 0, problem.position) + 1
        return Read(None, {}, (Fault(line, f"has a character that YAML does not allow, U+{problem.character:04X}"),))
    except RecursionError:
        return Read(None, {}, (Fault(1, f"is nested deeper than {MOST_DEPTH} levels"),))
    if node is None:
        return Read({})
    reading = _Reading()
    value = reading.value(node, ())
    return Read(value, reading.lines, tuple(reading.faults))


class _Reading:
    """From nodes to values."""

    def __init__(self) -> None:
        self.lines: dict[Place, int] = {}
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node, place: Place) -> Any:
        line = node.start_mark.line + 1
        self.lines[place] = line
        if len(self.lines) > MOST_VALUES or len(place) > MOST_DEPTH:
            what = f"more than {MOST_VALUES:,} values" if len(self.lines) > MOST_VALUES else f"{MOST_DEPTH} levels"
            if not self.faults or not self.faults[-1].message.startswith("has more"):
                self.faults.append(Fault(line, f"has more than is read: {what}"))
            return None
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_PLAIN}map":
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_PLAIN}seq":
            return [self.value(each, (*place, number)) for number, each in enumerate(node.value)]
        return self._scalar(node, line)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        made: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.faults.append(Fault(line, "has a key that is no text"))
                continue
            name = key.value
            if name in made:
                self.faults.append(Fault(line, f"{name}: is there twice, first on line {first[name]}"))
                continue
            first[name] = line
            made[name] = self.value(value, (*place, name))
            self.lines[(*place, name)] = line
        return made

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        match node.tag.removeprefix(_PLAIN):
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" | "float" if _NUMBER.fullmatch(text):
                try:
                    return int(text) if _INTEGER.fullmatch(text) else wire.number(text)
                except ValueError:
                    self.faults.append(Fault(line, f"number out of range: {text[:40]}"))
                    return 0
        self.faults.append(
            Fault(line, f"has a type that is not read here, {node.tag}: give a text, a number or a list")
        )
        return None


# ------------------------------------------------------------------------------------------------------ writing


def write_yaml(value: Mapping[str, Any]) -> str:
    """The text of plain values: the same bytes for the same values, and values read from it are equal."""
    text: str = yaml.serialize(_node(value), Dumper=_DUMPER, allow_unicode=True, width=1_000_000, indent=2)
    return text


def _node(value: Any, *, flow: bool = False) -> yaml.Node:
    if isinstance(value, Mapping):
        rows = [(_node(str(name)), _member(name, each, flow)) for name, each in value.items()]
        return yaml.MappingNode(f"{_PLAIN}map", rows, flow_style=flow or not rows)
    if isinstance(value, list | tuple):
        members = [_node(each, flow=flow) for each in value]
        return yaml.SequenceNode(f"{_PLAIN}seq", members, flow_style=flow or not members)
    if value is None or isinstance(value, bool):
        tag, text = ("null", "null") if value is None else ("bool", "true" if value else "false")
        return yaml.ScalarNode(f"{_PLAIN}{tag}", text)
    if isinstance(value, int | Decimal):
        text = plain(Decimal(value))
        return yaml.ScalarNode(f"{_PLAIN}{'int' if _INTEGER.fullmatch(text) else 'float'}", text)
    assert isinstance(value, str), f"{type(value).__name__} is no plain value"
    return yaml.ScalarNode(f"{_PLAIN}str", value, style="|" if "\n" in value else None)


def _member(name: object, value: Any, flow: bool) -> yaml.Node:
    if name not in _ONE_LINE or not isinstance(value, list | tuple) or not value:
        return _node(value, flow=flow)
    return yaml.SequenceNode(f"{_PLAIN}seq", [_node(each, flow=True) for each in value], flow_style=flow)
