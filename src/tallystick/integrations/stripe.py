"""Hand bills over to Stripe: one invoice for each, whatever crashes, repeats or is calculated anew in between.

Before anything is made it is looked for by what we noted on it (`tallystick_bill`, `tallystick_line`), so that a step
that was done is found however long ago that was; requests carry keys that come from the run besides, so that two of
them that overlap do one thing (docs/decisions/0491-stripe.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import stripe

from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.bill import BillRecord, BillStatus
from tallystick.core.event import noun
from tallystick.core.external_mapping import ExternalMapping
from tallystick.core.integration import RunStatus
from tallystick.core.paid_state import EVENT_NAMES
from tallystick.core.quantity import plain
from tallystick.core.stripe_settings import StripeTerms, UsageAs, read_terms
from tallystick.failpoints import reached
from tallystick.integrations.stripe_account import FAILURES, connect, plain_of, what_went_wrong
from tallystick.integrations.stripe_books import Books
from tallystick.integrations.stripe_meters import hand_over_usage
from tallystick.integrations.stripe_terms import (
    SYSTEM,
    StripeInvoice,
    Unexpressible,
    invoice_of,
    major_units,
)
from tallystick.ports import Where
from tallystick.ports.handover import HandedOver, HandOver, Problem, Vault

BILL, ACCOUNT, CUSTOMER, INVOICE = "Bill", "Account", "customer", "invoice"
_NEWS_OF_PAYMENT = frozenset(EVENT_NAMES.values())


class _NoCustomer(Exception):
    """The account has no customer at Stripe that is known here."""


class _Paid(Exception):
    """The invoice of what the bill was before is paid."""


@dataclass(frozen=True, slots=True)
class StripePerformer:
    """Hands over to Stripe. `base_url` is Stripe's own unless the operator sets another, `seconds` the time limit of
    one request."""

    vault: Vault
    base_url: str
    seconds: float

    def perform(self, what: HandOver) -> HandedOver:
        """One bill becomes one invoice as it stands now, whichever of its events this is about."""
        if what.event.event_name in _NEWS_OF_PAYMENT:
            return HandedOver(status=RunStatus.COMPLETE)  # it came from there, or is of no concern to it
        try:
            terms = _terms(what)
            record = _record(what)
            client = connect(self.vault, what.records, what.config, self.base_url, self.seconds)
            return _hand_over(what, terms, record, client)
        except Unexpressible as problem:
            return HandedOver(status=RunStatus.ERROR, problem=Problem.VALIDATION, error=str(problem))
        except _NoCustomer as problem:
            return HandedOver(status=RunStatus.ERROR, problem=Problem.MISSING_ACCOUNT_MAPPING, error=str(problem))
        except _Paid as problem:
            return HandedOver(status=RunStatus.INVOICE_ALREADY_PAID, error=str(problem))
        except FAILURES as problem:
            return what_went_wrong(problem, what.now)


def _terms(what: HandOver) -> StripeTerms:
    try:
        return read_terms(what.config.value.config_data)
    except ValueError as problem:
        raise Unexpressible(str(problem)) from None


def _record(what: HandOver) -> BillRecord | None:
    document = what.records.document("bill", what.run.entity_id)
    return None if document is None else wire.decode(BillRecord, document.body)


def _hand_over(
    what: HandOver, terms: StripeTerms, record: BillRecord | None, client: stripe.StripeClient
) -> HandedOver:
    if record is None:
        return _withdraw(what, client)
    approved = record.bill.status is BillStatus.APPROVED
    if terms.send_on_approval_only and not approved:
        return HandedOver(status=RunStatus.COMPLETE, log="the bill is not approved; it is sent when it is")
    if terms.usage_as is UsageAs.METER_EVENTS and not approved:
        return HandedOver(status=RunStatus.COMPLETE, log="usage is reported once the bill is approved")
    customer, mappings = _customer(what, terms, record, client)
    if terms.usage_as is UsageAs.METER_EVENTS:
        return hand_over_usage(what, terms, record.bill, customer, mappings, client)
    if not record.bill.line_items:
        return HandedOver(status=RunStatus.COMPLETE, mappings=mappings, log="the bill has no lines: nothing to invoice")
    wanted = invoice_of(record.bill, record.evidence.digest, what.records.organization_id)
    books = Books(client=client, run_id=what.run.id, customer=customer)
    invoice = _invoice(books, wanted, terms, what)
    if approved and terms.finalize and invoice["status"] == "draft":
        invoice = books.finalize(invoice["id"], auto_advance=terms.auto_advance)
        reached("stripe.finalized")
    return _done(invoice, record.bill.id, (*mappings, *_mapping_of(what, record.bill.id, invoice["id"])))


def _invoice(books: Books, wanted: StripeInvoice, terms: StripeTerms, what: HandOver) -> dict[str, Any]:
    """The invoice of this revision of a bill: found, or the one before is put away and this one is made."""
    ours = books.invoices_of(wanted.bill_id, _mapped(what, BILL, wanted.bill_id, INVOICE))
    fitting = [each for each in ours if each["metadata"].get("tallystick_revision") == wanted.revision]
    current = next((each for each in fitting if not books.misplaced(each)), None)
    if current is not None and current["status"] != "draft":
        return current  # what became of it there, void too, was decided there
    for earlier in ours:
        if earlier is current or earlier["status"] == "void":
            continue
        if earlier["status"] == "draft":
            books.drop(earlier["id"])
            reached("stripe.dropped")
        elif not books.misplaced(earlier) and (credited := books.credit(earlier, wanted)) is not None:
            reached("stripe.credited")
            return credited
        elif earlier["status"] == "paid" or earlier.get("amount_paid"):
            total = plain(major_units(wanted.total, wanted.currency))
            raise _Paid(
                f"the invoice {earlier['id']} of this bill is paid; the bill now comes to {total} "
                f"{wanted.currency.upper()}: put the difference on the next bill, or credit it in Stripe"
            )
        else:
            books.void(earlier["id"], wanted.revision)
            reached("stripe.voided")
    if current is None:
        current = books.create(wanted, terms, what.run.created)
        reached("stripe.created")
    books.add_lines(current["id"], wanted)
    invoice = books.invoice(current["id"])
    if invoice["total"] != wanted.total:
        there = plain(major_units(invoice["total"], wanted.currency))
        here = plain(major_units(wanted.total, wanted.currency))
        raise Unexpressible(
            f"the invoice {invoice['id']} comes to {there} at Stripe and the bill to {here}: take off taxes, discounts "
            "and pending items of the customer there, then retry this run"
        )
    return invoice


def _withdraw(what: HandOver, client: stripe.StripeClient) -> HandedOver:
    """The bill was deleted: what Stripe has of it is put away."""
    account_id = what.run.account_id
    customer = None if account_id is None else _mapped(what, ACCOUNT, account_id, CUSTOMER)
    if customer is None:
        return HandedOver(status=RunStatus.COMPLETE, log="the bill is gone, and Stripe knows nothing of it")
    books = Books(client=client, run_id=what.run.id, customer=customer)
    for invoice in books.invoices_of(what.run.entity_id, _mapped(what, BILL, what.run.entity_id, INVOICE)):
        if invoice["status"] == "draft":
            books.drop(invoice["id"])
        elif invoice["status"] in {"open", "uncollectible"} and not invoice.get("amount_paid"):
            books.void(invoice["id"], "deleted")
        elif invoice["status"] != "void":
            raise _Paid(f"the bill was deleted and its invoice {invoice['id']} is paid: refund it in Stripe if it must")
    return HandedOver(status=RunStatus.COMPLETE, log="the bill is gone, and so is its invoice")


def _customer(
    what: HandOver, terms: StripeTerms, record: BillRecord, client: stripe.StripeClient
) -> tuple[str, tuple[ExternalMapping, ...]]:
    """The customer that an account is: mapped, or (where the integration may) found by our note or made."""
    account_id = record.bill.account_id
    mapped = _mapped(what, ACCOUNT, account_id, CUSTOMER)
    if mapped is not None:
        return mapped, ()
    account = what.records.get(Account, account_id)
    if account is None or not terms.create_customers:
        raise _NoCustomer(
            f"the account {record.bill.account_code} is mapped to no customer of Stripe: add an external mapping "
            f"({ACCOUNT} {account_id} to {SYSTEM} {CUSTOMER}), or let the integration create customers; then retry"
        )
    note = {"tallystick_organization": what.records.organization_id, "tallystick_account": account_id}
    found = _noted_customer(client, account.value.email_address, note)
    if found is None:
        params: dict[str, Any] = {"name": account.value.name, "metadata": note, "description": account.value.code}
        if account.value.email_address:
            params["email"] = account.value.email_address
        # The key is the account's, not the run's: bills of one account may be handed over side by side.
        digest = sha256(wire.canonical(params)).hexdigest()[:16]
        key = f"{what.config.id}/{account_id}/customer/{digest}"
        found = client.v1.customers.create(params, {"idempotency_key": key}).id  # type: ignore[arg-type]  # as above
        reached("stripe.customer")
    mapping = ExternalMapping(
        m3ter_entity=ACCOUNT,
        m3ter_id=account_id,
        external_system=SYSTEM,
        external_table=CUSTOMER,
        external_id=found,
        integration_config_id=what.config.id,
    )
    return found, (mapping,)


def _noted_customer(client: stripe.StripeClient, email: str | None, note: dict[str, str]) -> str | None:
    """The customer with our note. A list by address is never behind; a search by note is, for up to a minute, and is
    asked where there is no address."""
    if email:
        found = client.v1.customers.list({"email": email, "limit": 100})
    else:
        query = f"metadata['tallystick_account']:'{note['tallystick_account']}'"
        found = client.v1.customers.search({"query": query, "limit": 100})  # type: ignore[assignment]  # read alike
    for each in found.auto_paging_iter():
        metadata = plain_of(each).get("metadata") or {}
        if note.items() <= metadata.items():
            return each.id
    return None


def _mapped(what: HandOver, entity: str, id: str, table: str) -> str | None:
    """What an entity is called at Stripe: by a mapping of this integration, or by one of none."""
    every = [each.value for each in what.records.every(ExternalMapping, Where(equal={"m3ter_id": (id,)}))]
    found = [
        each
        for each in every
        if noun(each.m3ter_entity) == noun(entity)
        and each.external_system.casefold() == SYSTEM.casefold()
        and each.external_table.casefold() == table
    ]
    own = [each for each in found if each.integration_config_id == what.config.id]
    common = [each for each in found if each.integration_config_id is None]
    return next((each.external_id for each in (*reversed(own), *reversed(common))), None)


def _mapping_of(what: HandOver, bill_id: str, invoice_id: str) -> tuple[ExternalMapping, ...]:
    return (
        ExternalMapping(
            m3ter_entity=BILL,
            m3ter_id=bill_id,
            external_system=SYSTEM,
            external_table=INVOICE,
            external_id=invoice_id,
            integration_config_id=what.config.id,
        ),
    )


def _done(invoice: dict[str, Any], bill_id: str, mappings: tuple[ExternalMapping, ...]) -> HandedOver:
    return HandedOver(
        status=RunStatus.COMPLETE,
        external_id=invoice["id"],
        url=invoice.get("hosted_invoice_url"),
        mappings=mappings,
        log=f"invoice {invoice['id']} of bill {bill_id} is {invoice['status']}",
    )
