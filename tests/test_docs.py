"""Everything that can be used is documented, and every link leads somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = _generator()


@pytest.mark.parametrize("path", sorted(GENERATE.PARTS))
def test_each_reference_says_what_the_code_says(path: str) -> None:
    """Every module, setting, error code, route and command is in its page, and nothing else. `make docs` mends it."""
    present, wanted = GENERATE.written(path)
    assert present == wanted, f"{path} is out of date: run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_there(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    known = {words[0] for words, _ in GENERATE._commands()}
    shown = re.findall(r"(?m)(?:^\$? ?|`)tallystick ([a-z][a-z-]*)", page.read_text(encoding="utf-8"))
    assert [word for word in shown if word not in known] == []


def test_every_decision_has_its_own_number() -> None:
    numbers = [page.name[:4] for page in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert len(set(numbers)) == len(numbers)
    assert all(number.isdigit() for number in numbers)
