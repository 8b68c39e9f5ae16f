"""A digest of all measurements: equal for equal contents, in whatever order and blocks, in whichever slots."""

from __future__ import annotations

import hashlib

from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, Connection
from tallystick.stores.usage_clickhouse.schema import Fields


def digest(connection: Connection, organizations: dict[tuple[str, str], Fields]) -> str:
    """SHA-256 over a line for each organisation and meter: how many rows, and the sum of their hashes.

    A sum, which wraps: it does not depend on the order of rows, and unlike an exclusive or it sees one that is there
    twice.
    """
    lines = []
    for organization, meter in _meters(connection):
        fields = organizations.get((organization, meter), Fields())
        bindings = Bindings()
        # A tuple: a hash of a null alone would be null.
        held = "".join(
            f", {bindings.text(code)}, {column}"
            for columns in (fields.numbers, fields.texts)
            for code, column in sorted(columns.items())
        )
        statement = (
            "SELECT count(), sum(sipHash64(tuple(position, account, uid, ts, ets, received, extra"
            f"{held}))) FROM {DATABASE}.measurement"
            f" WHERE organization = {bindings.text(organization)} AND meter = {bindings.text(meter)}"
        )
        ((count, hashes),) = connection.rows(statement, bindings)
        lines.append(f"{organization} {meter} {count} {hashes}\n")
    for organization, meter, count, hashes in connection.rows(_WITHDRAWN):
        lines.append(f"{organization} {meter} {count} {hashes} withdrawn\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


# A meter of which nothing was withdrawn has no line, so that its digest is what it was before there was such a thing.
_WITHDRAWN = f"""
    SELECT organization, meter, count(), sum(sipHash64(tuple(account, ts, position, at))) FROM {DATABASE}.withdrawn
    GROUP BY organization, meter ORDER BY organization, meter"""


def _meters(connection: Connection) -> list[tuple[str, str]]:
    statement = f"SELECT DISTINCT organization, meter FROM {DATABASE}.measurement ORDER BY organization, meter"
    return [(organization, meter) for organization, meter in connection.rows(statement)]
