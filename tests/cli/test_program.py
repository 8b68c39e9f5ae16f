"""The program itself: help for every command, one sentence for every failure, an honest exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tallystick import __version__
from tallystick.cli.main import program, run
from tallystick.core import wire

Said = pytest.CaptureFixture[str]


def commands() -> Iterator[tuple[tuple[str, ...], typer.core.TyperCommand]]:
    """Every command with its words."""
    groups = [((), program())]
    while groups:
        words, group = groups.pop()
        for name, command in group.commands.items():  # type: ignore[attr-defined]  # what we hold here are groups
            if hasattr(command, "commands"):
                groups.append(((*words, name), command))
            else:
                yield (*words, name), command


COMMANDS = dict(commands())


@pytest.mark.parametrize("words", sorted(COMMANDS), ids=" ".join)
def test_every_command_says_what_it_does_and_what_each_option_means(words: tuple[str, ...], capsys: Said) -> None:
    assert run([*words, "--help"]) == 0
    assert "Usage: tallystick" in capsys.readouterr().out
    command = COMMANDS[words]
    assert command.help
    assert [each.name for each in command.params if each.name != "help" and not getattr(each, "help", None)] == []


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["explian"], 2, "No such command 'explian'. Did you mean 'explain'?"),
        (["bill", "shoe"], 2, "No such command 'shoe'"),
        (["org", "create"], 2, "Missing argument 'NAME'"),
        (["org", "create", "Acme"], 1, "name the data directory with --data"),
        (["bill", "list"], 1, "say which server: --data DIR"),
        (["bill", "list", "--url", "http://127.0.0.1:9"], 1, "sign in with --key and --secret"),
        (["bill", "list", "--data", "no/such/directory"], 1, "there is no data directory"),
        (["bill", "run", "--frequency"], 2, "requires an argument"),
        (["serve", "--port", "0"], 2, "'--port': Input should be greater than or equal to 1"),
        (["import", "usage.dat", "--map", "ts=t", "--meter", "m", "--account", "a"], 1, "give --format"),
        (["import", "usage.csv", "--map", "ts", "--meter", "m", "--account", "a"], 1, "write PART=COLUMN"),
        (["demo", "--month", "2025-13"], 1, "must be a month such as 2025-01"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_failure_is_one_sentence_and_no_success(arguments: list[str], code: int, sentence: str, capsys: Said) -> None:
    assert run(arguments) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", said.err), "one line on stderr"
    assert sentence in said.err


def test_the_version(capsys: Said) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_settings_shows_what_is_in_force(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_PORT", "9000")
    assert run(["settings", "--json"]) == 0
    rows = {row["name"]: row for row in wire.decode(list[dict[str, Any]], capsys.readouterr().out)}
    assert (rows["TALLYSTICK_PORT"]["value"], rows["TALLYSTICK_PORT"]["default"]) == (9000, 8400)
    assert run(["settings"]) == 0
    assert "TALLYSTICK_RECORDS_URL" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("TALLYSTICK_PORT", "many", "TALLYSTICK_PORT: must be a whole number"),
        ("TALLYSTICK_PROT", "9000", "TALLYSTICK_PROT: no such setting"),
    ],
)
def test_a_wrong_setting_is_named(
    name: str, value: str, sentence: str, capsys: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, value)
    for arguments in (["settings"], ["serve", "--data", str(tmp_path)]):
        assert run(arguments) == 1
        assert sentence in capsys.readouterr().err
