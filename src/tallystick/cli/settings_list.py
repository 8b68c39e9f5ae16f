"""`tallystick settings`: every setting, its value in force and what it means."""

from __future__ import annotations

from dataclasses import fields

from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table
from tallystick.settings import CLIENT_VARIABLES, MEANINGS, PREFIX, Settings, read_settings


def settings(json: JsonOption = False) -> None:
    """List every setting: the environment variable, its value in force, its default and what it means."""
    try:
        present = read_settings()
    except ValueError as problem:
        raise Failure(str(problem)) from None
    standard = Settings()
    rows = [
        {
            "name": PREFIX + each.name.upper(),
            "value": getattr(present, each.name),
            "default": getattr(standard, each.name),
            "meaning": MEANINGS[each.name],
        }
        for each in fields(Settings)
    ]
    if json:
        print_json(rows)
        return
    print_table(
        ("setting", "value", "default", "meaning"),
        [
            *(tuple(row.values()) for row in rows),
            *((name, "", "", meaning) for name, meaning in CLIENT_VARIABLES.items()),
        ],
    )
