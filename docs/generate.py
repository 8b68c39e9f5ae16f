"""Writes the parts of the documentation that repeat what the code says, between their marks.

`make docs` runs it. `tests/test_docs.py` fails when a part is not what this would write, so that nothing in the
code goes undocumented and nothing documented is gone.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tallystick.api.errors import STATUS
from tallystick.api.operator import OPEN_ROUTES
from tallystick.api.routes import PUBLISHED
from tallystick.cli.main import program
from tallystick.console.site import OPEN_PAGES, PAGES
from tallystick.errors import CODES
from tallystick.failpoints import POINTS
from tallystick.settings import CLIENT_VARIABLES, MEANINGS, PREFIX, TEST_VARIABLES, Settings

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "tallystick"
# From what knows nothing to what knows all; what is not named here comes last.
ORDER = [
    "errors.py",
    "settings.py",
    "core",
    "ports",
    "pipeline",
    "control",
    "stores",
    "integrations",
    "app.py",
    "worker.py",
    "web",
    "api",
    "console",
    "cli",
]


def layers() -> str:
    """The order in which parts may import each other, as imports are held to it, without layers that do not exist."""
    held = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    parts, flow = (_layers(each) for each in held if each["type"] == "layers")
    between = "Inside the flow a stage may call an earlier one, never a later one:"
    return f"```\n{parts}\n```\n\n{between}\n\n```\n{flow}\n```"


def _layers(contract: dict[str, Any]) -> str:
    folder = SOURCE.joinpath(*contract["containers"][0].split(".")[1:])
    held = [re.findall(r"[a-z_]+", layer) for layer in contract["layers"]]
    there = [[name for name in names if (folder / name).is_dir() or (folder / f"{name}.py").exists()] for names in held]
    return " > ".join(" | ".join(names) for names in there if names)


def tree() -> str:
    """Every module with the first sentence of its docstring, folder by folder."""
    parts = []
    for folder, modules in _folders():
        heading = f"**`src/tallystick/{folder}`**" if folder else "**`src/tallystick/`**"
        parts.append("\n".join([heading, "", *(f"- `{path.name}` {_purpose(path)}" for path in modules)]))
    return "\n\n".join(parts)


def settings() -> str:
    """Every setting of the server, and what commands read."""
    standard = Settings()
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, meaning in MEANINGS.items():
        default = str(getattr(standard, name))
        rows.append(f"| `{PREFIX}{name.upper()}` | {f'`{default}`' if default else ''} | {meaning} |")
    rows += [f"| `{name}` | | {meaning} |" for name, meaning in {**CLIENT_VARIABLES, **TEST_VARIABLES}.items()]
    return "\n".join(rows)


def errors() -> str:
    """Every error code with its HTTP status."""
    rows = ["| code | status | try again | what to do |", "|---|---|---|---|"]
    rows += [
        f"| `{code.name}` | {STATUS[code.family]} | {'yes' if code.retry else 'no'} | {code.hint} |"
        for code in CODES.values()
    ]
    return "\n".join(rows)


def routes() -> str:
    """Every route, noun by noun, with its scope and its query."""
    parts = ["## Without an organisation\n\n" + "\n".join(["| route | what it does |", "|---|---|", *_open_routes()])]
    for tag in dict.fromkeys(route.tag for route in PUBLISHED):
        rows = ["| route | scope | what it does |", "|---|---|---|"]
        queries: dict[str, str] = {}
        for route in PUBLISHED:
            if route.tag == tag:
                rows.append(f"| `{route.method} {route.path}` | `{route.scope}` | {route.summary} |")
                queries |= route.query
        told = [f"- `{name}`: {meaning}" for name, meaning in sorted(queries.items())]
        parts.append("\n".join([f"## {tag}", "", *rows, *(["", "Query:", "", *told] if told else [])]))
    return "\n\n".join(parts)


def pages() -> str:
    """Every page of the console, with what one must be allowed to do."""
    rows = ["| page | may | what it is |", "|---|---|---|"]
    rows += [f"| `{page.method} {page.path}` | {page.may} | {page.title} |" for page in PAGES]
    rows += [f"| `{page.method} {page.path}` | anybody | {page.title} |" for page in OPEN_PAGES]
    return "\n".join(rows)


def points() -> str:
    """Every place where a test can have the server killed."""
    rows = ["| place | what has happened |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | {meaning} |" for name, meaning in POINTS.items())])


def commands() -> str:
    """Every command with its arguments and options."""
    parts = []
    for words, command in sorted(_commands()):
        parameters = [each for each in command.params if each.name != "help"]
        own = [each for each in parameters if getattr(each, "rich_help_panel", None) != "Connection"]
        lines = [f"## `tallystick {' '.join(words)}`", "", *_paragraphs(command.help), ""]
        lines += [f"- `{_spelled(each)}` {each.help}{_default(each)}" for each in own]
        if len(own) < len(parameters):
            names = ", ".join(f"`{each.opts[0]}`" for each in parameters if each not in own)
            lines.append(f"- connection: {names}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


Part = tuple[str, Callable[[], str]]
PARTS: dict[str, tuple[Part, ...]] = {
    "ARCHITECTURE.md": (("layers", layers), ("tree", tree)),
    "docs/reference/settings.md": (("settings", settings),),
    "docs/reference/errors.md": (("errors", errors),),
    "docs/reference/routes.md": (("routes", routes),),
    "docs/reference/pages.md": (("pages", pages),),
    "docs/reference/commands.md": (("commands", commands),),
    "docs/guides/crashes.md": (("failpoints", points),),
}


def written(path: str) -> tuple[str, str]:
    """A document as it is, and as it should be."""
    present = wanted = (ROOT / path).read_text(encoding="utf-8")
    for name, make in PARTS[path]:
        begin, end = f"<!-- {name}: written by `make docs` -->", f"<!-- end of {name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        assert pattern.search(wanted), f"{path} has no part marked {begin}"
        text = f"{begin}\n\n{make()}\n\n{end}"
        wanted = pattern.sub(lambda _, text=text: text, wanted)
    return present, wanted


def _folders() -> Iterator[tuple[str, list[Path]]]:
    yield "", sorted((path for path in SOURCE.glob("*.py") if path.stem != "__init__"), key=_place)
    folders = sorted((path for path in SOURCE.rglob("*") if (path / "__init__.py").exists()), key=_place)
    for folder in folders:
        modules = sorted(path for path in folder.glob("*.py") if path.stem != "__init__" or _speaks(path))
        yield f"{folder.relative_to(SOURCE)}/", modules


def _place(path: Path) -> tuple[int, str]:
    first = path.relative_to(SOURCE).parts[0]
    return (ORDER.index(first) if first in ORDER else len(ORDER), str(path))


def _speaks(path: Path) -> bool:
    return bool(path.read_text(encoding="utf-8").strip())


def _purpose(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(docstring.partition("\n\n")[0].split())
    return re.sub(r" \(source: [^)]*\)", "", first)


def _open_routes() -> list[str]:
    return [f"| `{route.method} {route.path}` | {route.summary} |" for route in OPEN_ROUTES]


def _commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    groups: list[tuple[tuple[str, ...], Any]] = [((), program())]
    while groups:
        words, group = groups.pop()
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                groups.append(((*words, name), command))
            else:
                yield (*words, name), command


def _paragraphs(text: str | None) -> list[str]:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n")).split("\n")


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    flag = getattr(parameter, "is_flag", False)
    value = "" if flag else f" {parameter.metavar or parameter.name.upper()}"
    return f"{parameter.opts[0]}{value}"


def _default(parameter: Any) -> str:
    value = parameter.default
    if value in (None, "", False, ()) or callable(value) or parameter.param_type_name == "argument":
        return ""
    return f" Default: `{getattr(value, 'value', value)}`."


def main() -> None:
    """Rewrite every part."""
    for path in PARTS:
        present, wanted = written(path)
        if present != wanted:
            (ROOT / path).write_text(wanted, encoding="utf-8")
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
