"""Everything that can be used is documented, and every link leads somewhere."""

from __future__ import annotations

import ast
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


def test_every_proof_that_is_named_exists() -> None:
    """Tests by file and name, targets of make by theirs; each promise has one or the other."""
    page = (ROOT / "docs" / "proofs.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?`", page)
    assert len(named) > 50
    assert [(file, name) for file, name in named if not _has(ROOT / file, name)] == []
    targets = set(re.findall(r"(?m)^(\w[\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    assert set(re.findall(r"`make ([\w-]+)", page)) <= targets
    rows = re.findall(r"(?m)^\| (?!promise|fast way|--)(.+?) \| (.+) \|$", page)
    assert len(rows) > 30
    assert [promise for promise, shown in rows if not re.search(r"`(?:tests/|make )", shown)] == []


def _has(file: Path, name: str) -> bool:
    """Whether a file is there and defines a test, which may be within a class."""
    body: list[ast.stmt] = ast.parse(file.read_text(encoding="utf-8")).body if file.exists() else []
    for part in filter(None, name.split("::")):
        found = [each for each in body if isinstance(each, ast.FunctionDef | ast.ClassDef) and each.name == part]
        if not found:
            return False
        body = found[0].body
    return bool(body)


def test_every_decision_has_its_own_number() -> None:
    numbers = [page.name[:4] for page in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert len(set(numbers)) == len(numbers)
    assert all(number.isdigit() for number in numbers)
