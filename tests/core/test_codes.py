"""The table of error codes: every code can be acted on, and nothing can fail with another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tallystick.errors import CODES, Code, Family, Refusal, Rejection

SOURCE = Path(__file__).parent.parent.parent / "src" / "tallystick"


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.name)
def test_every_code_is_a_word_with_a_hint(code: Code) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code.name)
    assert CODES[code.name] is code
    assert code.hint[0].isupper()
    assert code.hint.endswith(".")


def test_only_what_kept_nothing_says_try_again() -> None:
    assert {code.name for code in CODES.values() if code.retry} == {"busy", "too_many_attempts"}
    assert CODES["busy"].family is Family.BUSY


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.name)
def test_every_code_is_used(code: Code) -> None:
    """A code that nothing raises would be documented for nothing."""
    quoted = f'"{code.name}"'
    places = [path for path in SOURCE.rglob("*.py") if quoted in path.read_text(encoding="utf-8")]
    assert [path for path in places if path.name != "errors.py" or path.parent.name == "api"]


def test_a_refusal_carries_its_code_its_message_and_its_field() -> None:
    refusal = Refusal("in_use", "id: the product is used by a plan", field="id")
    assert (refusal.code, refusal.message, refusal.field) == (CODES["in_use"], str(refusal), "id")


def test_an_unregistered_code_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="unregistered error code nonsense"):
        Refusal("nonsense", "never")
    with pytest.raises(AssertionError, match="unregistered error code nonsense"):
        Rejection("nonsense", "never")
