"""ARCHITECTURE.md is true: the walk names functions that exist, and the layers are those that imports are held to.

That its tree names every module and no other is checked with the other reference pages, in `test_docs.py`.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "tallystick"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
# `core/period.py: Instant.parse` names a function, a class or a method of a module.
NAMED = re.findall(r"`([a-z_/]+\.py):\s+([A-Za-z_.]+)`", TEXT)


def names_in(path: Path) -> set[str]:
    """What a module defines: functions, classes, `Class.method`, and constants."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            members = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{member.name}" for member in members}
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_the_walk_names_functions() -> None:
    assert len(NAMED) >= 12, "the walk of a measurement names the function of each step"


@pytest.mark.parametrize(("module", "name"), NAMED)
def test_each_function_that_is_named_exists(module: str, name: str) -> None:
    path = SOURCE / module
    assert path.exists(), f"there is no module {module}"
    assert name in names_in(path), f"{module} has no {name}"


def test_each_path_that_is_named_exists() -> None:
    written = re.sub(r"<!-- tree.*end of tree -->", "", TEXT, flags=re.DOTALL)
    paths = re.findall(
        r"`((?:core|pipeline|control|stores|api|cli|console|integrations)/[a-z_/.]*|[a-z_]+\.py)`", written
    )
    assert paths
    assert [path for path in paths if not (SOURCE / path).exists() and not (ROOT / path).exists()] == []


def test_the_layers_are_those_that_imports_are_held_to() -> None:
    """The page leaves out the layers that do not exist yet; the rest stands in the same order."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = [contract for contract in contracts if contract["type"] == "layers"]
    assert all(contract["exhaustive"] for contract in layers)
    for contract in layers:
        held = [re.findall(r"[a-z_]+", layer) for layer in contract["layers"]]
        folder = SOURCE / Path(*contract["containers"][0].split(".")[1:])
        present = [
            " | ".join(name for name in names if (folder / name).is_dir() or (folder / f"{name}.py").exists())
            for names in held
        ]
        assert " > ".join(layer for layer in present if layer) in TEXT


# Declared, and used by name only through another package.
EXTRAS = ("postgresql", "kafka", "kinesis")
COMES_WITH = {"botocore": "boto3"}
USED_THROUGH = {
    "fontpkg-noto-sans": "holds fonts of the invoice, which invoice/fonts.py finds",
    "justmytype-intl-rtl": "holds fonts of the invoice, which invoice/fonts.py finds",
    "noto-cjk-sans-otc": "holds fonts of the invoice, which invoice/fonts.py finds",
    "psycopg[binary]": "SQLAlchemy opens it for postgresql+psycopg:// addresses",
    "tzdata": "zoneinfo reads it where the system has no time zones",
    "uvloop": "granian runs on it",
}
IMPORTED_AS = {
    "chdb-core": "chdb",
    "confluent-kafka": "confluent_kafka",
    "clickhouse-connect": "clickhouse_connect",
    "fonttools": "fontTools",
    "pyjwt": "jwt",
    "pyyaml": "yaml",
    "argon2-cffi": "argon2",
    "backports.zstd": "backports",
}
# In the standard library of Python 3.14; before, a declared package stands in for it.
LATER_STANDARD = {"compression"}


def test_every_dependency_is_used_and_everything_used_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(each for name in EXTRAS for each in extras[name])]
    names = {re.split(r"[<>=;]", each)[0].strip() for each in wanted}
    assert all(">=" in each for each in wanted), "each dependency has a lower bound"
    declared = {IMPORTED_AS.get(name, name) for name in names - set(USED_THROUGH)}
    imported: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    found = {COMES_WITH.get(name, name) for name in imported}
    assert found - sys.stdlib_module_names - LATER_STANDARD - {"tallystick"} == declared
    assert set(USED_THROUGH) <= names
