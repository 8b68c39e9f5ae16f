"""Ask the usage store what rating needs to know, for many accounts at once.

Questions that differ only in the account are one question to the store, so that a bill run over ten thousand accounts
on one plan asks a handful of questions per batch, not ten thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from tallystick.core.aggregation import Measured, Question
from tallystick.ports.usage import Measuring

# Accounts named in one question to the store.
ACCOUNTS_AT_ONCE = 2_000

Measurements = dict[Question, tuple[Measured, ...]]


def measure(usage: Measuring, asked: Mapping[str, Collection[Question]]) -> dict[str, Measurements]:
    """The answers to each account's questions, with rows in order of segment.

    A question that names no accounts is about the account whose it is; one that does is about those: a pool as one
    (a row per segment), or each by itself (a row per account and segment).

    Every question has its answer, an empty one where nothing was measured.
    """
    accounts_of: dict[Question, list[str]] = {}
    for account_id, questions in asked.items():
        for question in questions:
            accounts_of.setdefault(question, []).append(account_id)
    answers: dict[str, Measurements] = {account_id: {} for account_id in asked}
    together: dict[tuple[str, ...], list[Question]] = {}  # what is asked about the same accounts
    for question, account_ids in accounts_of.items():
        if question.accounts is not None:
            named = sorted(usage.measure(question), key=lambda row: (row.segment, row.account_id))
            for account_id in account_ids:
                answers[account_id][question] = tuple(named)
        else:
            together.setdefault(tuple(sorted(account_ids)), []).append(question)
    for accounts, alike in together.items():
        for question, rows in zip(alike, _rows(usage, alike, accounts), strict=True):
            for account_id in accounts:
                answers[account_id][question] = rows.get(account_id, ())
    return answers


def measure_alike(
    usage: Measuring, questions: Sequence[Question], account_ids: Sequence[str]
) -> list[dict[str, tuple[Measured, ...]]]:
    """The answers to each of the questions, by account, as `measure` has them; accounts without are left out. The
    questions are about the account whose they are, and each is asked about all of these."""
    assert all(each.accounts is None for each in questions), "what names accounts is not the same for all"
    return _rows(usage, questions, sorted(account_ids))


def _segment(row: Measured) -> tuple[str, ...]:
    return row.segment


def _rows(
    usage: Measuring, questions: Sequence[Question], account_ids: Sequence[str]
) -> list[dict[str, tuple[Measured, ...]]]:
    """The rows in answer to each of the questions, by account, in order of segment."""
    every: list[dict[str, tuple[Measured, ...]]] = [{} for _ in questions]
    for first in range(0, len(account_ids), ACCOUNTS_AT_ONCE):
        batch = tuple(account_ids[first : first + ACCOUNTS_AT_ONCE])
        answers = usage.measure_many([msgspec.structs.replace(each, accounts=batch) for each in questions])
        for place, rows in enumerate(answers):
            every[place] |= _by_account(rows)
    return every


def _by_account(rows: Iterable[Measured]) -> dict[str, tuple[Measured, ...]]:
    """Rows by account: of most questions an account has one."""
    rows = list(rows)
    single: dict[str, tuple[Measured, ...]] = {row.account_id: (row,) for row in rows}
    if len(single) == len(rows):
        return single
    several: dict[str, list[Measured]] = {}
    for row in rows:
        several.setdefault(row.account_id, []).append(row)
    return {account_id: tuple(sorted(found, key=_segment)) for account_id, found in several.items()}
