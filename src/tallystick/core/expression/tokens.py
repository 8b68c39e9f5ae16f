"""The calculation language as words: a text cut into numbers, texts, names and symbols, each with its position."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto

from tallystick.core.entity import MAX_DECIMALS, MAX_NUMBER
from tallystick.core.expression.tree import ExpressionError

MAX_LENGTH = 5000  # characters of an expression (source: reference 2.1)
MAX_TEXT = 4096  # characters of a text that an expression may hold or make

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*(?:\.[A-Za-z_$][A-Za-z0-9_$]*)*)
      | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<symbol>==|!=|<=|>=|[-+*/%^()<>!?:,])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_KEYWORDS = {"AND", "OR", "NOT"}
_LITERALS = {"TRUE", "FALSE", "NULL"}
_HINTS = {
    "=": "compare with ==",
    "&": "write AND",
    "|": "write OR",
    "'": "the text that begins here is not closed",
    '"': "the text that begins here is not closed",
    "\\": "a \\ belongs inside a quoted text",
    "“": "quote texts with ' or \"",
    "”": "quote texts with ' or \"",
    "‘": "quote texts with ' or \"",
    "’": "quote texts with ' or \"",
}


class Kind(Enum):
    """What a token is."""

    NUMBER = auto()
    TEXT = auto()
    NAME = auto()
    LITERAL = auto()  # TRUE, FALSE or NULL, in capitals
    SYMBOL = auto()  # an operator or a bracket; AND, OR and NOT in capitals
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One word: `text` as written (keywords in capitals), `position` from 1."""

    kind: Kind
    text: str
    position: int

    def __str__(self) -> str:
        if self.kind is Kind.END:
            return "the end"
        return self.text if self.kind is Kind.TEXT and len(self.text) <= 40 else f"{self.text[:40]!r}"


def tokens(text: str) -> list[Token]:
    """Cut a text into tokens, with one END at last; ExpressionError where no token can begin."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"{len(text)} characters; an expression has at most {MAX_LENGTH}", 0)
    found: list[Token] = []
    offset = 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            raise _unreadable(text[offset], offset + 1)
        if match.lastgroup != "space":
            found.append(_token(str(match.lastgroup), match.group(), offset + 1))
        offset = match.end()
    found.append(Token(Kind.END, "", len(text) + 1))
    return found


def _unreadable(character: str, position: int) -> ExpressionError:
    hint = _HINTS.get(character, "expected a value or an operator")
    return ExpressionError(f"{hint}, found {character!r}", position)


def _token(group: str, text: str, position: int) -> Token:
    if group == "name":
        capitals = text.upper()
        if capitals in _KEYWORDS:
            return Token(Kind.SYMBOL, capitals, position)
        if capitals in _LITERALS:
            return Token(Kind.LITERAL, capitals, position)
    return Token(Kind[group.upper()], text, position)


def number(token: Token) -> Decimal:
    """The exact value of a number token: below 10^20, at most 30 decimals, in plain digits (1e3 is 1000)."""
    # A sign and three digits: the exponent of a number within the limits has no more.
    if len(token.text.lower().partition("e")[2]) <= 4:
        value = Decimal(token.text)
        exponent = value.as_tuple().exponent
        if value < MAX_NUMBER and isinstance(exponent, int) and exponent >= -MAX_DECIMALS:
            return Decimal(f"{value:f}")
    raise ExpressionError(
        f"{token}: a number must be below 10^20 and have at most {MAX_DECIMALS} decimals", token.position
    )


def text(token: Token) -> str:
    """The value of a text token: without its quotes, its escapes resolved."""

    def resolve(match: re.Match[str]) -> str:
        code, character = match.groups()
        value = chr(int(code, 16)) if code else _ESCAPES.get(character)
        if value is None:
            raise ExpressionError(
                f"unknown escape \\{character}; expected \\\\ \\' \\\" \\n \\r \\t or \\u and four hex digits",
                token.position + 1 + match.start(),
            )
        return value

    value = _ESCAPE.sub(resolve, token.text[1:-1])
    if len(value) > MAX_TEXT:
        raise ExpressionError(f"the text has {len(value)} characters; at most {MAX_TEXT}", token.position)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ExpressionError("the text holds half of a surrogate pair", token.position) from error
    return value
