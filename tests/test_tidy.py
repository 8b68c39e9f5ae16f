"""House style that no linter knows: small rooms, no junk drawers, no floats or clocks in the rules.

Each rule is a function from a module to the faults it finds, so that a failure lists every place at once.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "tallystick"
MODULES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50
JUNK_DRAWERS = {"utils", "util", "helpers", "helper", "misc", "common"}

# What would make a rule depend on when, where or how often it runs.
IMPURE_CALLS = {
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "date.today",
    "Instant.now",
    "time.time",
    "time.monotonic",
    "uuid.uuid1",
    "uuid.uuid4",
    "uuid1",
    "uuid4",
    "open",
    "print",
    "input",
    "getcontext",
    "decimal.getcontext",
}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
# A switched-off check carries its reason on the same line, after its codes.
SWITCHED_OFF = re.compile(r"#\s*(type:\s*ignore(\[[\w, -]+\])?|noqa(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?)(?P<reason>.*)$")

Rule = Callable[[Path, str, ast.Module], Iterator[str]]


def too_long_a_module(path: Path, text: str, tree: ast.Module) -> Iterator[str]:
    lines = text.count("\n")
    if lines > MAX_MODULE_LINES:
        yield f"{lines} lines; at most {MAX_MODULE_LINES}"


def too_long_a_function(path: Path, text: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{node.lineno}: {node.name} has {lines} lines; at most {MAX_FUNCTION_LINES}"


def junk_drawer(path: Path, text: str, tree: ast.Module) -> Iterator[str]:
    if path.stem in JUNK_DRAWERS or path.parent.name in JUNK_DRAWERS:
        yield f"a module called {path.stem} has no subject: name it after what it holds"


def no_docstring(path: Path, text: str, tree: ast.Module) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield "the module does not say in one line what it is for"


def unfinished(path: Path, text: str, tree: ast.Module) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield f"{number}: unfinished: {line.strip()}"


def switched_off_without_reason(path: Path, text: str, tree: ast.Module) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        found = SWITCHED_OFF.search(line)
        if found and len(found["reason"].strip(" #-:")) < 8:
            yield f"{number}: a check is switched off without its reason beside it: {line.strip()}"


def float_in_the_rules(path: Path, text: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield f"{node.lineno}: the float {node.value!r}; write a Decimal"
        if isinstance(node, ast.Name) and node.id == "float":
            yield f"{node.lineno}: the name float"


def impurity_in_the_rules(path: Path, text: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in IMPURE_CALLS:
            yield f"{node.lineno}: {ast.unparse(node.func)}() makes a rule depend on more than its arguments"


def in_core(path: Path) -> bool:
    return path.is_relative_to(SOURCE / "core")


EVERYWHERE: list[Rule] = [
    too_long_a_module,
    too_long_a_function,
    junk_drawer,
    no_docstring,
    unfinished,
    switched_off_without_reason,
]
IN_CORE: list[Rule] = [float_in_the_rules, impurity_in_the_rules]
IN_TESTS: list[Rule] = [junk_drawer, switched_off_without_reason]


def faults(rule: Rule, paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        found += [f"{path.relative_to(ROOT)}: {fault}" for fault in rule(path, text, ast.parse(text))]
    return found


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_every_module_is_tidy(rule: Rule) -> None:
    assert faults(rule, MODULES) == []


@pytest.mark.parametrize("rule", IN_CORE, ids=lambda rule: rule.__name__)
def test_the_rules_are_exact_and_pure(rule: Rule) -> None:
    assert faults(rule, [path for path in MODULES if in_core(path)]) == []


@pytest.mark.parametrize("rule", IN_TESTS, ids=lambda rule: rule.__name__)
def test_every_test_is_tidy(rule: Rule) -> None:
    assert faults(rule, [path for path in TESTS if path != Path(__file__)]) == []


def test_no_test_is_skipped_in_silence() -> None:
    """A skip or an expected failure names its reason."""
    bare = re.compile(r"(pytest\.skip\(\)|mark\.(skip|xfail)\b(?!if)(?!\(.*reason=))")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in TESTS
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        (float_in_the_rules, "rate = 0.1\n", 1),
        (float_in_the_rules, "rate = Decimal('0.1')\n", 0),
        (float_in_the_rules, "rate = float(text)\n", 1),
        (impurity_in_the_rules, "at = datetime.now(UTC)\n", 1),
        (impurity_in_the_rules, "at = now\n", 0),
        (unfinished, "x = 1  # TODO later\n", 1),
        (switched_off_without_reason, "x = y  # type: ignore[arg-type]\n", 1),
        (switched_off_without_reason, "x = y  # type: ignore[arg-type]  # the stub lacks None\n", 0),
        (switched_off_without_reason, "x = y  # noqa: S608\n", 1),
        (switched_off_without_reason, "x = y  # noqa: S608  column names come from the schema\n", 0),
        (too_long_a_function, "def f():\n" + "    x = 1\n" * 50, 1),
        (too_long_a_function, "def f():\n" + "    x = 1\n" * 49, 0),
        (too_long_a_module, "x = 1\n" * 401, 1),
        (no_docstring, "x = 1\n", 1),
    ],
)
def test_the_rules_of_tidiness_find_what_they_look_for(rule: Rule, text: str, expected: int) -> None:
    assert len(list(rule(Path("sample.py"), text, ast.parse(text)))) == expected
