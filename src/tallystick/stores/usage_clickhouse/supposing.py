"""A question as if some measurements had never come and others had: exact for every method, and nothing is kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from tallystick.core.aggregation import Measured, Question
from tallystick.ports import UsageRow
from tallystick.stores import plain_aggregation
from tallystick.stores.usage_clickhouse import questions, reading
from tallystick.stores.usage_clickhouse.connection import Bindings, Connection
from tallystick.stores.usage_clickhouse.schema import Fields


def measure_as_if(
    connection: Connection,
    organization: str,
    fields: Fields,
    question: Question,
    without: Collection[int],
    added: Sequence[UsageRow],
) -> list[Measured]:
    """See ports.OrganizationUsage. What is taken out is one more condition of the statement; the accounts that get
    something are read row by row, since no statement can put a row among others that are not there."""
    more = [row for row in added if row.meter_id == question.meter_id]
    getting = {row.account_id for row in more}
    if question.accounts is not None:
        getting &= set(question.accounts)
    if not getting:
        return questions.measure(connection, organization, fields, question, without)
    if question.pooled or question.accounts is None:
        return _row_by_row(connection, organization, fields, question, without, more)
    others = [each for each in question.accounts if each not in getting]
    found = _row_by_row(connection, organization, fields, _of(question, sorted(getting)), without, more)
    if others:
        found += questions.measure(connection, organization, fields, _of(question, others), without)
    return sorted(found, key=lambda each: (each.account_id, each.segment))


def _of(question: Question, accounts: Sequence[str]) -> Question:
    return msgspec.structs.replace(question, accounts=tuple(accounts))


def _row_by_row(
    connection: Connection,
    organization: str,
    fields: Fields,
    question: Question,
    without: Collection[int],
    added: Sequence[UsageRow],
) -> list[Measured]:
    bindings = Bindings()
    accounts = None if question.accounts is None else sorted(set(question.accounts))
    where = " AND ".join(questions.conditions(organization, fields, question, accounts, bindings, without))
    statement = reading.select([fields], where)
    rows = reading.rows(connection, organization, {question.meter_id: fields}, statement, bindings)
    return plain_aggregation.measure(plain_aggregation.and_added(rows, added), question)
