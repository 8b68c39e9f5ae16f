"""The chain of the audit against somebody who writes to the database itself, on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from records_examples import EPOCH, changed, entity
from sqlalchemy import Engine, create_engine, text

from tallystick.control.audit_proof import checkpoint, verify_audit
from tallystick.core.audit_chain import Checkpoint
from tallystick.core.catalog import Product
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.stores.audit_key import KeyFileSigner
from tallystick.stores.records_sql.view import SqlOrganization

NOON = Instant.of(EPOCH)
FACTS = (
    "organization_id", "number", "at", "actor_id", "actor_kind", "request_id", "action", "kind", "id", "version",
    "count", "change", "content",
)  # fmt: skip


@dataclass
class Intruder:
    """Somebody who can write to the database but has none of the checkpoints that were kept."""

    engine: Engine
    organization: str

    def run(self, statement: str, **values: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), {"o": self.organization, **values})

    def rows(self) -> list[dict[str, Any]]:
        wanted = text("SELECT * FROM audit_entry WHERE organization_id = :o ORDER BY number")
        with self.engine.begin() as connection:
            return [dict(row._mapping) for row in connection.execute(wanted, {"o": self.organization})]

    def rewrite(self, **changes: object) -> None:
        """Change entry 3 and make every digest anew, as the documentation says that they are made."""
        before = ""
        for found in self.rows():
            row = found | changes if found["number"] == 3 else found
            facts = [before, *(row[name] for name in FACTS)]
            before = sha256(json.dumps(facts, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
            self.run(
                "UPDATE audit_entry SET actor_id = :a, digest = :d WHERE organization_id = :o AND number = :n",
                a=row["actor_id"],
                d=before,
                n=row["number"],
            )


@pytest.fixture
def intruder(records_url: str, organization: SqlOrganization) -> Iterator[Intruder]:
    engine = create_engine(records_url)
    yield Intruder(engine, organization.organization_id)
    engine.dispose()


@pytest.fixture
def signer(tmp_path: Path) -> KeyFileSigner:
    return KeyFileSigner(tmp_path)


@pytest.fixture
def six(organization: SqlOrganization) -> SqlOrganization:
    """An organisation with six entries: a product that is made and renamed five times, half of it at once."""
    one = entity(Product(name="Disk 0", code="disk"))
    with organization.transaction() as write:
        write.insert(one)
    for numbers in ((1,), (2,), (3, 4, 5)):
        with organization.transaction() as write:
            for number in numbers:
                one = changed(one, Product(name=f"Disk {number} – ü", code="disk"))
                write.replace(one)
    return organization


def first_bad(organization: SqlOrganization, signer: KeyFileSigner, *kept: Checkpoint) -> tuple[int, int] | None:
    fault = verify_audit(organization, signer, kept).fault
    return None if fault is None else (fault.first, fault.last)


def test_an_audit_as_it_was_written_is_found_so(six: SqlOrganization, signer: KeyFileSigner) -> None:
    kept = checkpoint(six, signer, NOON)
    assert kept.sequence_number == 6
    found = verify_audit(six, signer, [kept])
    assert (found.entries, found.fault) == (6, None)
    with six.transaction() as write:
        write.insert(entity(Product(name="Tape", code="tape")))
    assert verify_audit(six, signer, [kept, checkpoint(six, signer, NOON)]).entries == 7


def test_an_audit_without_entries(organization: SqlOrganization, signer: KeyFileSigner) -> None:
    kept = checkpoint(organization, signer, NOON)
    assert (kept.sequence_number, kept.digest) == (0, "")
    assert first_bad(organization, signer, kept) is None


ENTRY = "FROM audit_entry WHERE organization_id = :o AND number"
ROW = "WHERE organization_id = :o AND number"
SEQUENCE = "UPDATE sequence_number SET last = {} WHERE organization_id = :o AND name = 'audit'"
COPY = "INSERT INTO audit_entry SELECT organization_id, 7, at, actor_id, actor_kind, request_id, action, kind, id, "


@pytest.mark.parametrize(
    ("done", "first"),
    [
        (["UPDATE audit_entry SET actor_id = 'eve' " + ROW + " = 3"], 3),
        (["UPDATE audit_entry SET \"change\" = '[1]' " + ROW + " = 6"], 6),
        (["UPDATE audit_entry SET version = NULL " + ROW + " = 1"], 1),
        (["UPDATE audit_entry SET digest = '' " + ROW + " = 2"], 2),
        (["DELETE " + ENTRY + " = 4"], 4),
        (["DELETE " + ENTRY + " <= 2"], 1),
        (["DELETE " + ENTRY + " >= 5"], 5),  # cut off
        (["DELETE " + ENTRY + " > 0"], 1),
        (  # in another order
            [f"UPDATE audit_entry SET number = {new} {ROW} = {old}" for old, new in ((2, 99), (3, 2), (99, 3))],
            2,
        ),
        (  # taken out, and the numbers closed up
            ["DELETE " + ENTRY + " = 4", *(f"UPDATE audit_entry SET number = {n - 1} {ROW} = {n}" for n in (5, 6))],
            4,
        ),
        ([COPY + 'version, "count", "change", content, digest ' + ENTRY + " = 6"], 7),  # put in
        (["UPDATE entity_version SET body = '{}' WHERE organization_id = :o AND version = 2"], 2),
        (["DELETE FROM entity_version WHERE organization_id = :o AND version = 5"], 5),
    ],
)
def test_the_first_bad_entry_is_named(
    six: SqlOrganization, signer: KeyFileSigner, intruder: Intruder, done: list[str], first: int
) -> None:
    for statement in done:
        intruder.run(statement)
    assert first_bad(six, signer) == (first, first)


def test_what_is_cut_off_with_its_number_is_found_by_a_checkpoint(
    six: SqlOrganization, signer: KeyFileSigner, intruder: Intruder
) -> None:
    kept = checkpoint(six, signer, NOON)
    intruder.run("DELETE " + ENTRY + " >= 5")
    intruder.run(SEQUENCE.format(4))
    assert first_bad(six, signer) is None, "nothing in the database tells"
    assert first_bad(six, signer, kept) == (5, 5)


def test_a_chain_that_was_written_anew_is_found_by_checkpoints(
    six: SqlOrganization, signer: KeyFileSigner, intruder: Intruder
) -> None:
    early, late = None, checkpoint(six, signer, NOON)
    rows = intruder.rows()
    early = sign(signer, six.organization_id, 2, rows[1]["digest"])
    intruder.rewrite()
    assert intruder.rows() == rows, "the digests are made as documented"
    intruder.rewrite(actor_id="eve")
    assert first_bad(six, signer) is None, "nothing in the database tells"
    assert first_bad(six, signer, early) is None, "before the change"
    assert first_bad(six, signer, late) == (1, 6)
    assert first_bad(six, signer, early, late) == (3, 6)


def sign(signer: KeyFileSigner, organization: str, number: int, digest: str) -> Checkpoint:
    bare = Checkpoint(
        organization_id=organization,
        sequence_number=number,
        digest=digest,
        dt_created=NOON,
        public_key=signer.public_key,
    )
    return copied(bare, signature=signer.sign(bare.signed_text()))


def copied(kept: Checkpoint, **changes: object) -> Checkpoint:
    return Checkpoint(**{name: getattr(kept, name) for name in kept.__struct_fields__} | changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"digest": "0" * 64}, "signature: is not that"),
        ({"sequence_number": 5}, "signature: is not that"),
        ({"signature": "zz"}, "signature: is not that"),
        ({"public_key": "00"}, "signature: is not that"),
        ({"organization_id": "another"}, "organizationId"),
        ({"format": 2}, "format"),
    ],
)
def test_a_checkpoint_that_was_changed_is_refused(
    six: SqlOrganization, signer: KeyFileSigner, change: dict[str, object], said: str
) -> None:
    kept = checkpoint(six, signer, NOON)
    with pytest.raises(Refusal, match=said):
        verify_audit(six, signer, [copied(kept, **change)])


def test_a_checkpoint_by_another_key_is_refused_where_one_is_trusted(
    six: SqlOrganization, signer: KeyFileSigner, tmp_path: Path
) -> None:
    forged = checkpoint(six, KeyFileSigner(tmp_path / "other"), NOON)
    assert first_bad(six, signer, forged) is None
    with pytest.raises(Refusal, match="another key"):
        verify_audit(six, signer, [forged], signer.public_key)


def test_work_goes_on_where_the_last_entry_was_taken_out(
    six: SqlOrganization, signer: KeyFileSigner, intruder: Intruder, new_organization: Callable[[], SqlOrganization]
) -> None:
    intruder.run("DELETE " + ENTRY + " = 6")
    with pytest.raises(Refusal, match="entry 6 is missing"):
        checkpoint(six, signer, NOON)
    with six.transaction() as write:
        write.insert(entity(Product(name="Tape", code="tape")))
    assert first_bad(six, signer) == (6, 6)
    assert first_bad(new_organization(), signer) is None, "each organisation has a chain of its own"
