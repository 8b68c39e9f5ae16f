"""What Stripe's books have of a bill: its invoices, their lines and credit notes; each found by our notes or made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

import stripe

from tallystick.core import wire
from tallystick.core.period import Instant
from tallystick.core.stripe_settings import CollectionMethod, StripeTerms
from tallystick.failpoints import reached
from tallystick.integrations.stripe_account import plain_of
from tallystick.integrations.stripe_terms import StripeInvoice, StripeLine

PAGE = 100
LINES_AT_ONCE = 100
NOT_FOUND = 404
SUPERSEDED = "tallystick_superseded"  # the note on an invoice that another one has taken the place of


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The books of one customer, as one run works in them."""

    client: stripe.StripeClient
    run_id: str
    customer: str

    def invoices_of(self, bill_id: str, known: str | None) -> list[dict[str, Any]]:
        """Every invoice that was made for a bill and not put away since, the oldest first. The one that is known of it
        counts also where the account was another customer then."""
        found = self.client.v1.invoices.list({"customer": self.customer, "limit": PAGE})
        ours = [plain_of(each) for each in found.auto_paging_iter()]
        mine = [each for each in ours if (each.get("metadata") or {}).get("tallystick_bill") == bill_id]
        if known is not None and all(each["id"] != known for each in mine):
            former = self._find(known)
            if former is not None and (former.get("metadata") or {}).get("tallystick_bill") == bill_id:
                mine.append(former)
        return [each for each in reversed(mine) if SUPERSEDED not in each["metadata"] or each["status"] != "void"]

    def invoice(self, id: str) -> dict[str, Any]:
        """An invoice as it stands."""
        return plain_of(self.client.v1.invoices.retrieve(id))

    def _find(self, id: str) -> dict[str, Any] | None:
        """An invoice as it stands; None where it was deleted."""
        try:
            return self.invoice(id)
        except stripe.InvalidRequestError as problem:
            if problem.http_status != NOT_FOUND:
                raise
            return None

    def misplaced(self, invoice: dict[str, Any]) -> bool:
        """Whether an invoice is with another customer than the account is now, and nothing was paid of it yet."""
        waits = invoice["status"] in {"draft", "open"} and not invoice.get("amount_paid")
        return waits and invoice["customer"] != self.customer

    def lines_of(self, id: str) -> list[dict[str, Any]]:
        """The lines of an invoice, all of them."""
        found = self.client.v1.invoices.line_items.list(id, {"limit": PAGE})
        return [plain_of(each) for each in found.auto_paging_iter()]

    def create(self, wanted: StripeInvoice, terms: StripeTerms, created: Instant) -> dict[str, Any]:
        """An empty draft. Nothing advances it: it may belong to a bill that is not approved, and has no lines yet."""
        params: dict[str, Any] = {
            "customer": self.customer,
            "currency": wanted.currency,
            "auto_advance": False,
            "collection_method": terms.collection_method.value,
            "description": wanted.description,
            "metadata": wanted.metadata,
            "pending_invoice_items_behavior": "exclude",
        }
        if terms.collection_method is CollectionMethod.SEND_INVOICE:
            params["days_until_due"] = days_until(wanted.due_date, created)
        made = self.client.v1.invoices.create(params, self._key("create", wanted.revision, params))  # type: ignore[arg-type]  # its params are a TypedDict
        return plain_of(made)

    def add_lines(self, id: str, wanted: StripeInvoice) -> None:
        """Put those lines on a draft that are not on it yet."""
        there = {(each.get("metadata") or {}).get("tallystick_line") for each in self.lines_of(id)}
        missing = [_line_params(each) for each in wanted.lines if each.id not in there]
        for start in range(0, len(missing), LINES_AT_ONCE):
            params: dict[str, Any] = {"lines": missing[start : start + LINES_AT_ONCE]}
            self.client.v1.invoices.add_lines(id, params, self._key("lines", id, params))  # type: ignore[arg-type]  # as above
            reached("stripe.lines")

    def finalize(self, id: str, *, auto_advance: bool) -> dict[str, Any]:
        """A draft becomes final."""
        params = {"auto_advance": auto_advance}
        done = self.client.v1.invoices.finalize_invoice(id, params, self._key("finalize", id, params))  # type: ignore[arg-type]  # as above
        return plain_of(done)

    def drop(self, id: str) -> None:
        """Delete a draft with its lines, which would otherwise wait for the customer's next invoice."""
        lines = self.lines_of(id)
        for start in range(0, len(lines), LINES_AT_ONCE):
            some = [{"id": each["id"], "behavior": "delete"} for each in lines[start : start + LINES_AT_ONCE]]
            params: dict[str, Any] = {"lines": some}
            self.client.v1.invoices.remove_lines(id, params, self._key("remove", id, params))  # type: ignore[arg-type]  # as above
        self.client.v1.invoices.delete(id)

    def void(self, id: str, revision: str) -> None:
        """Take an invoice back, with a note that another one takes its place: the bill itself is not void by it."""
        params: dict[str, Any] = {"metadata": {SUPERSEDED: revision}}
        self.client.v1.invoices.update(id, params, self._key("supersede", id, params))  # type: ignore[arg-type]  # as above
        self.client.v1.invoices.void_invoice(id, {}, self._key("void", id, {}))

    def credit(self, invoice: dict[str, Any], wanted: StripeInvoice) -> dict[str, Any] | None:
        """Credit the difference where a final invoice is this bill but for credits that were put on it since: a credit
        note, after which the invoice is of this revision. None where more than that is different."""
        notes = self._notes_of(invoice["id"])
        there = {_name_of(each): each["amount"] for each in self.lines_of(invoice["id"])}
        there |= {_name_of(line): -line["amount"] for note in notes for line in note["lines"]}
        new = [each for each in wanted.lines if each.id not in there]
        same = all(there.get(each.id, each.amount) == each.amount for each in wanted.lines)
        gone = set(there) - {each.id for each in wanted.lines}
        alike = invoice["status"] in {"open", "paid"} and invoice["currency"] == wanted.currency and same
        if not alike or gone or not all(each.credit for each in new):
            return None
        amount = -sum(each.amount for each in new)
        if amount:
            self._credit_note(invoice, wanted, new, amount)
        params: dict[str, Any] = {"metadata": {"tallystick_revision": wanted.revision}}
        done = self.client.v1.invoices.update(invoice["id"], params, self._key("credited", wanted.revision, params))  # type: ignore[arg-type]  # as above
        return plain_of(done)

    def _credit_note(self, invoice: dict[str, Any], wanted: StripeInvoice, new: list[StripeLine], amount: int) -> None:
        params: dict[str, Any] = {
            "invoice": invoice["id"],
            "lines": [
                {
                    "type": "custom_line_item",
                    "description": each.description,
                    "quantity": 1,
                    "unit_amount": -each.amount,
                    "metadata": {"tallystick_line": each.id},
                }
                for each in new
            ],
            "memo": wanted.description,
            "metadata": wanted.metadata,
        }
        left = int(invoice.get("amount_remaining") or 0)
        if amount > left:
            params["credit_amount"] = amount - left  # kept for the customer's next invoice
        self.client.v1.credit_notes.create(params, self._key("credit", wanted.revision, params))  # type: ignore[arg-type]  # as above
        reached("stripe.noted")

    def _notes_of(self, invoice_id: str) -> list[dict[str, Any]]:
        found = self.client.v1.credit_notes.list({"invoice": invoice_id, "limit": PAGE})
        notes = [plain_of(each) for each in found.auto_paging_iter()]
        ours = [each for each in notes if "tallystick_bill" in (each.get("metadata") or {})]
        return [
            {
                **each,
                "lines": [
                    plain_of(line)
                    for line in self.client.v1.credit_notes.line_items.list(
                        each["id"], {"limit": PAGE}
                    ).auto_paging_iter()
                ],
            }
            for each in ours
            if each["status"] != "void"
        ]

    def _key(self, step: str, about: str, params: dict[str, Any]) -> Any:
        """The key of a request: of the run, so that a repetition does it once, and of what is asked, as Stripe refuses
        the same key with something else."""
        digest = sha256(wire.canonical(params)).hexdigest()[:16]
        return {"idempotency_key": f"{self.run_id}/{step}/{about}/{digest}"}


def days_until(due: date, from_: Instant) -> int:
    """How many days a customer has, from the day of the hand-over; none for what is overdue. It does not depend on when
    it is tried again."""
    return max(0, (due - from_.date()).days)


def _line_params(line: StripeLine) -> dict[str, Any]:
    params: dict[str, Any] = {"amount": line.amount, "description": line.description, "metadata": line.metadata}
    if line.period is not None:
        params["period"] = {"start": line.period[0], "end": line.period[1]}
    return params


def _name_of(line: dict[str, Any]) -> str:
    """Our id of a line; Stripe's own for one that was added there."""
    return str((line.get("metadata") or {}).get("tallystick_line") or line["id"])
