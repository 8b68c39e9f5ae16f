"""How a command fails: one clear sentence on stderr, and an exit code that is not 0."""

from __future__ import annotations

import typer


class Failure(typer.TyperException):
    """An expected failure of a command; `main` prints its sentence and exits with 1."""

    exit_code = 1


class Refused(Failure):
    """The server refused a request: its status, its code and its sentence, and the field at fault, if one is."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", field: str = "") -> None:
        sentence = message.rstrip(".")
        super().__init__(f"{sentence}. {hint}" if hint else sentence)
        self.status = status
        self.code = code
        self.said = message
        self.field = field
