"""From an invoice view to HTML: one file that needs no other, and that may load nothing."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tallystick.errors import Refusal
from tallystick.invoice.templates import template_text
from tallystick.invoice.view import InvoiceView

_JINJA = ImmutableSandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def html_of(view: InvoiceView, directory: Path | None = None, organization_id: str = "") -> str:
    """An invoice as HTML. Refusal `rule_broken` where the operator's template cannot be filled in."""
    try:
        template = _compiled(template_text("invoice.html", directory, organization_id).text)
        return template.render(view=view, words=view.words)
    except TemplateError as problem:
        raise Refusal("rule_broken", f"the invoice template cannot be filled in: {problem}") from None


@lru_cache(maxsize=16)
def _compiled(text: str) -> Template:
    return _JINJA.from_string(text)
