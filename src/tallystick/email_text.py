"""Words of messages, filled in. Users write them, so they can do little: show values, choose, and go through a list
once; nothing that could read other things or run long (docs/decisions/0483-email.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tallystick.core.email import EmailTemplate, MessageKind, languages_for
from tallystick.core.email_words import STANDARD
from tallystick.errors import Refusal

MAX_FILLED = 200_000  # characters
_FILTERS = frozenset({"upper", "lower", "title", "capitalize", "trim", "default", "escape", "e", "length"})
_SHOW = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Const, nodes.Filter)
_CHOOSE = (
    nodes.If,
    nodes.For,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Test,
)
_TESTS = frozenset({"defined", "undefined", "none"})


def _environment(escaping: bool) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(autoescape=escaping, undefined=StrictUndefined, keep_trailing_newline=True)
    made.globals.clear()
    return made


_PLAIN, _HTML = _environment(False), _environment(True)


@dataclass(frozen=True, slots=True)
class Filled:
    """A message's words with everything filled in. The subject is one line."""

    subject: str
    text: str
    html: str | None


def fill(template: EmailTemplate, values: Mapping[str, object]) -> Filled:
    """The words of a message. Refusal `rule_broken` naming the part that cannot be filled in."""
    subject = _fill("subject", template.subject, values)
    one_line = "".join(each if each.isprintable() else " " for each in subject)
    return Filled(
        subject=" ".join(one_line.split())[:500] or "-",
        text=_fill("text", template.text, values),
        html=_fill("html", template.html, values) if template.html else None,
    )


def best_words(own: Sequence[EmailTemplate], kind: MessageKind, language: str) -> EmailTemplate:
    """The words of a kind for a language: one's own before ours, the exact language before the next one."""
    of_kind = [each for each in (*own, *STANDARD) if each.message_kind is kind]
    for wanted in languages_for(language):
        for each in of_kind:
            if each.language.replace("_", "-").lower() == wanted.lower():
                return each
    return of_kind[0]


def _fill(part: str, text: str, values: Mapping[str, object]) -> str:
    try:
        filled = _compiled(text, part == "html").render(values)
    except (TemplateError, ValueError, TypeError, ArithmeticError, RecursionError) as problem:
        message = f"{part}: cannot be filled in: {problem}"
        raise Refusal("rule_broken", message, field=part) from None
    if len(filled) > MAX_FILLED:
        raise Refusal("rule_broken", f"{part}: comes to more than {MAX_FILLED} characters", field=part)
    return filled


@lru_cache(maxsize=128)
def _compiled(text: str, escaping: bool) -> Template:
    environment = _HTML if escaping else _PLAIN
    _require_simple(environment.parse(text))
    return environment.from_string(text)


def _require_simple(parsed: nodes.Template) -> None:
    """ValueError for what could run long or reach further than the values that are given."""
    for each in parsed.find_all(nodes.Node):
        if not isinstance(each, (*_SHOW, *_CHOOSE, nodes.Test)):
            raise ValueError(f"{type(each).__name__} in line {each.lineno} is more than words may do here")
        if isinstance(each, nodes.Filter) and each.name not in _FILTERS:
            raise ValueError(f"the filter {each.name} is none of {', '.join(sorted(_FILTERS))}")
        if isinstance(each, nodes.Test) and each.name not in _TESTS:
            raise ValueError(f"the test {each.name} is none of {', '.join(sorted(_TESTS))}")
        if isinstance(each, nodes.For) and (each.recursive or any(True for _ in each.find_all(nodes.For))):
            raise ValueError(f"a list within a list in line {each.lineno} is more than words may do here")
