"""`localstripe` with what it lacks for invoices: run as a program, it is Stripe for tests.

localstripe makes invoices of subscriptions only, has no drafts with lines of one's own, no credit notes, no search, no
meter events, no keys of idempotency, and tells of little. All that is added here; customers, payment methods, payments,
events, and the delivery of signed notifications are its own. Each request of the product is held against the form that
the official library documents (`stripe_form`) before it is looked at.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import Counter
from itertools import count
from typing import Any

from aiohttp import web
from localstripe import resources, server, webhooks
from localstripe.errors import UserError

from stripe_form import form_of, wrong_with

MOST_LINES = 250
Invoice: Any = resources.Invoice
numbers = count(int(time.time()))
seen: Counter[str] = Counter()  # requests, by method and path without ids
answers: dict[str, tuple[str, int, bytes]] = {}  # by key of idempotency: the request, and what it was answered
faults: list[dict[str, Any]] = []  # what the next requests are answered instead


# ---------------------------------------------------------------------------------------------------------- invoices


def _total(self: Any) -> int:
    return int(sum(line.amount for line in self.lines._list))


def _notes_of(invoice: Any) -> list[CreditNote]:
    return [each for each in resources.store.values() if isinstance(each, CreditNote) and each.invoice == invoice.id]


def _status(self: Any) -> str:
    if self._draft:
        return "draft"
    if self._voided:
        return "void"
    if self._paid or self.amount_remaining <= 0:
        return "paid"
    return "uncollectible" if self._lost else "open"


def _amount_paid(self: Any) -> int:
    return int(self._came_in)


def _amount_due(self: Any) -> int:
    return int(max(0, self.total - sum(each.pre_payment_amount for each in _notes_of(self))))


def _amount_remaining(self: Any) -> int:
    return int(max(0, self.amount_due - self._came_in))


for name, getter in {
    "total": _total,
    "subtotal": _total,
    "status": _status,
    "amount_paid": _amount_paid,
    "amount_due": _amount_due,
    "amount_remaining": _amount_remaining,
}.items():
    setattr(Invoice, name, property(getter))
Invoice.tax = property(lambda self: 0)
Invoice._draft = True
Invoice._voided = Invoice._paid = Invoice._lost = False
Invoice._came_in = 0


def _tell(kind: str, about: Any) -> None:
    resources.schedule_webhook(resources.Event(kind, about))


@classmethod  # type: ignore[misc]  # becomes one of a class of another module
def create_invoice(cls: Any, customer: str = "", **given: Any) -> Any:
    resources.Customer._api_retrieve(customer)
    made = cls(customer=customer, description=given.get("description"), metadata=given.get("metadata"))
    made.currency = given.get("currency", "usd")
    made.auto_advance = given.get("auto_advance") == "true"
    made.collection_method = given.get("collection_method", "charge_automatically")
    days = given.get("days_until_due")
    if (days is not None) != (made.collection_method == "send_invoice"):
        raise UserError(400, "days_until_due goes with send_invoice, and only with it")
    made.due_date = None if days is None else made.created + int(days) * 86_400
    made.date = next(numbers)  # which lists are sorted by: two of the same second have an order too
    made.attempt_count, made.attempted, made.hosted_invoice_url = 0, False, None
    made.status_transitions["marked_uncollectible_at"] = None
    return made


Invoice._api_create = create_invoice


def find(id: str, *statuses: str) -> Any:
    invoice = Invoice._api_retrieve(id)
    if statuses and invoice.status not in statuses:
        raise UserError(400, f"This invoice is {invoice.status}")
    return invoice


def add_lines(id: str, lines: Any = (), **_: Any) -> Any:
    invoice = find(id, "draft")
    if len(invoice.lines._list) + len(lines) > MOST_LINES:
        raise UserError(400, f"An invoice can have at most {MOST_LINES} lines")
    for each in lines:
        period = each.get("period") or {"start": str(invoice.created), "end": str(invoice.created)}
        if int(period["end"]) < int(period["start"]):
            raise UserError(400, "period: ends before it starts")
        item = resources.InvoiceItem(
            invoice=id,
            customer=invoice.customer,
            amount=each["amount"],
            currency=invoice.currency,
            description=each.get("description"),
            metadata=each.get("metadata"),
            period_start=period["start"],
            period_end=period["end"],
        )
        invoice.lines._list.append(resources.InvoiceLineItem(item))
    return invoice


def remove_lines(id: str, lines: Any = (), **_: Any) -> Any:
    invoice = find(id, "draft")
    for each in lines:
        (line,) = (one for one in invoice.lines._list if one.id == each["id"])
        invoice.lines._list.remove(line)
        if each["behavior"] == "delete":
            resources.InvoiceItem._api_delete(line.invoice_item)
    return invoice


def finalize(id: str, auto_advance: str = "false", **_: Any) -> Any:
    invoice = find(id, "draft")
    invoice._draft = False
    invoice.auto_advance = auto_advance == "true"
    invoice.status_transitions["finalized_at"] = int(time.time())
    invoice.hosted_invoice_url = f"https://invoice.stripe.example/{id}"
    _tell("invoice.finalized", invoice)
    if invoice.total <= 0:
        _settle(invoice)
    return invoice


def _settle(invoice: Any) -> None:
    invoice._paid = True
    invoice.status_transitions["paid_at"] = int(time.time())
    for kind in ("invoice.paid", "invoice.payment_succeeded"):
        _tell(kind, invoice)


def pay(id: str, paid_out_of_band: str = "false", **_: Any) -> Any:
    invoice = find(id, "open", "uncollectible")
    if paid_out_of_band != "true":
        customer = resources.Customer._api_retrieve(invoice.customer)
        method = customer._get_default_payment_method_or_source()
        invoice.attempt_count += 1
        invoice.attempted = True
        if method is None:
            _tell("invoice.payment_failed", invoice)
            raise UserError(402, "This customer has no payment method")
        intent = resources.PaymentIntent(
            amount=invoice.amount_remaining,
            currency=invoice.currency,
            customer=invoice.customer,
            payment_method=method.id,
        )
        intent._confirm(on_failure_now=lambda: None)
        if intent.status != "succeeded":
            _tell("invoice.payment_failed", invoice)
            raise UserError(402, "Your card was declined")
    invoice._came_in += invoice.amount_remaining
    _settle(invoice)
    return invoice


def take_in(id: str, amount: str = "0", **_: Any) -> Any:
    """A part of an invoice is paid, as by a bank transfer: Stripe tells of it as an update."""
    invoice = find(id, "open")
    invoice._came_in += int(amount)
    _tell("invoice.updated", invoice)
    return invoice


def void(id: str, **_: Any) -> Any:
    invoice = find(id, "open", "uncollectible")
    invoice._voided = True
    invoice.status_transitions["voided_at"] = int(time.time())
    _tell("invoice.voided", invoice)
    return invoice


def give_up(id: str, **_: Any) -> Any:
    invoice = find(id, "open")
    invoice._lost = True
    invoice.status_transitions["marked_uncollectible_at"] = int(time.time())
    _tell("invoice.marked_uncollectible", invoice)
    return invoice


# ------------------------------------------------------------------------------------- credit notes, meters, search


class CreditNoteLine(resources.StripeObject):  # type: ignore[misc]  # the library has no types
    object = "credit_note_line_item"
    _id_prefix = "cnli_"

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__()
        self.amount = int(given["quantity"]) * int(given["unit_amount"])
        self.description = given["description"]
        self.metadata = given.get("metadata") or {}


class CreditNote(resources.StripeObject):  # type: ignore[misc]  # the library has no types
    object = "credit_note"
    _id_prefix = "cn_"

    def __init__(self, invoice: str = "", lines: Any = (), credit_amount: str = "0", **given: Any) -> None:
        about = find(invoice, "open", "paid")
        total = sum(int(each["quantity"]) * int(each["unit_amount"]) for each in lines)
        before = min(total, about.amount_remaining)
        if total <= 0 or total - before != int(credit_amount):
            raise UserError(400, "The sum of credits and refunds must equal what exceeds the amount remaining")
        super().__init__()
        self.invoice, self.customer, self.status = invoice, about.customer, "issued"
        self.total = self.amount = total
        self.pre_payment_amount, self.post_payment_amount = before, total - before
        self.memo, self.metadata = given.get("memo"), given.get("metadata") or {}
        self.lines = resources.List(f"/v1/credit_notes/{self.id}/lines")
        self.lines._list = [CreditNoteLine(each) for each in lines]

    @classmethod
    def _api_list_all(cls, url: str, invoice: str | None = None, **more: Any) -> Any:
        found = super()._api_list_all(url, **more)
        found._list = [each for each in found._list if invoice in {None, each.invoice}]
        return found


def lines_of_note(id: str, limit: str = "10", **_: Any) -> Any:
    found = resources.List(f"/v1/credit_notes/{id}/lines", limit=limit)
    found._list = CreditNote._api_retrieve(id).lines._list
    return found


def lines_of_invoice(id: str, limit: str = "10", starting_after: str | None = None, **_: Any) -> Any:
    found = resources.List(f"/v1/invoices/{id}/lines", limit=limit, starting_after=starting_after)
    found._list = find(id).lines._list
    return found


class MeterEvent(resources.StripeObject):  # type: ignore[misc]  # the library has no types
    object = "billing.meter_event"
    _id_prefix = "mtr_"

    def __init__(self, event_name: str = "", identifier: str = "", payload: Any = None, timestamp: str = "") -> None:
        every = [each for each in resources.store.values() if isinstance(each, MeterEvent)]
        if any(each.identifier == identifier for each in every):
            raise UserError(400, f"An event already exists with identifier {identifier}")
        super().__init__()
        self.event_name, self.identifier, self.payload = event_name, identifier, payload
        self.timestamp = int(timestamp)


def search_customers(query: str = "", limit: str = "10", **_: Any) -> Any:
    name, _, value = query.removeprefix("metadata['").partition("']:'")
    found = resources.List("/v1/customers/search", limit=limit)
    every = [each for each in resources.store.values() if isinstance(each, resources.Customer)]
    found._list = [each for each in every if each.metadata.get(name) == value.rstrip("'")]
    return found


_list_events = resources.Event._api_list_all.__func__


@classmethod  # type: ignore[misc]  # becomes one of a class of another module
def list_events(cls: Any, url: str, type: str | None = None, **more: Any) -> Any:
    found = _list_events(cls, url, **more)
    wanted = (type or "*").rstrip("*")
    found._list = [each for each in found._list if each.type.startswith(wanted)]
    return found


resources.Event._api_list_all = list_events


# ------------------------------------------------------------------------------------------------------- the server


@web.middleware
async def form_of_stripe(request: web.Request, handler: Any) -> web.StreamResponse:
    """Count the request, play faults, hold it against its form, and do it once for each key."""
    if request.path.startswith("/_"):
        return await handler(request)  # type: ignore[no-any-return]  # what localstripe answers
    parts = ["{id}" if "_" in each and len(each) > 15 else each for each in request.path.split("/")]
    seen[f"{request.method} {'/'.join(parts)}"] += 1
    if faults:
        faults[0]["after"] = faults[0].get("after", 0) - 1
        if faults[0]["after"] < 0:
            return _fault(faults.pop(0))
    form = form_of(request.method, request.path)
    body = await request.read()
    if form is not None:
        given = dict(request.query) if request.method == "GET" else dict(await request.post())
        wrong = wrong_with(server.unflatten_data(_multi(given)), form)
        if wrong is not None:
            return web.json_response({"error": {"type": "invalid_request_error", "message": wrong}}, status=400)
        if "Stripe-Version" not in request.headers:
            raise UserError(400, "the version of the API is not pinned")
    key = request.headers.get("Idempotency-Key")
    if key is None or request.method != "POST":
        return await handler(request)  # type: ignore[no-any-return]  # as above
    asked = hashlib.sha256(request.path.encode() + body).hexdigest()
    if key in answers:
        before, status, answer = answers[key]
        if before != asked:
            error = {"type": "idempotency_error", "message": "Keys can only be used with the same parameters"}
            return web.json_response({"error": error}, status=400)
        return web.Response(status=status, body=answer, content_type="application/json")
    response = await handler(request)
    answers[key] = asked, response.status, response.body
    return response  # type: ignore[no-any-return]  # as above


def _multi(given: dict[str, Any]) -> Any:
    class Multi(dict[str, Any]):
        def getall(self, name: str) -> list[Any]:
            return [self[name]]

    return Multi(given)


def _fault(fault: dict[str, Any]) -> web.Response:
    error = {"error": {"type": fault.get("type", "api_error"), "message": fault.get("message", "as asked")}}
    return web.json_response(error, status=fault["status"], headers=fault.get("headers"))


async def add_fault(request: web.Request) -> web.Response:
    faults.append(await request.json())
    return web.Response()


async def forget_keys(_: web.Request) -> web.Response:
    """A day has passed: keys of idempotency are no longer known."""
    answers.clear()
    return web.Response()


async def show_seen(_: web.Request) -> web.Response:
    return web.json_response(dict(seen))


def routes() -> None:
    """What localstripe has not, beside what it has."""
    router, extra = server.app.router, server.api_extra
    for verb, act in {
        "add_lines": add_lines,
        "remove_lines": remove_lines,
        "finalize": finalize,
        "mark_uncollectible": give_up,
        "take_in": take_in,
    }.items():
        router.add_post(f"/v1/invoices/{{id}}/{verb}", extra(act, verb))
    for resource in router.resources():
        if resource.canonical == "/v1/invoices/{id}/pay":
            next(iter(resource))._handler = extra(pay, "pay")
        if resource.canonical == "/v1/invoices/{id}/lines":
            next(iter(resource))._handler = extra(lines_of_invoice, "lines")
        if resource.canonical == "/v1/invoices/{id}/void":
            next(iter(resource))._handler = extra(void, "void")
    router.add_get("/v1/customers/search", extra(search_customers, "search"))
    router.add_get("/v1/credit_notes", server.api_list_all(CreditNote, "/v1/credit_notes"))
    router.add_post("/v1/credit_notes", server.api_create(CreditNote, "/v1/credit_notes"))
    router.add_get("/v1/credit_notes/{id}/lines", extra(lines_of_note, "lines"))
    router.add_get("/v1/billing/meter_events", server.api_list_all(MeterEvent, "/v1/billing/meter_events"))
    router.add_post("/v1/billing/meter_events", server.api_create(MeterEvent, "/v1/billing/meter_events"))
    router.add_post("/_config/faults", add_fault)
    router.add_post("/_config/forget", forget_keys)
    router.add_get("/_config/seen", show_seen)
    server.app.middlewares.append(form_of_stripe)


def main() -> None:
    """Serve until killed."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    resources.Store.dump_to_disk = lambda self: None  # what it keeps is of one test alone
    routes()
    print(json.dumps({"webhooks": webhooks.__name__}), flush=True)
    web.run_app(server.app, host="127.0.0.1", port=arguments.parse_args().port, access_log=None, print=None)


if __name__ == "__main__":
    main()
