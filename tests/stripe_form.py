"""Whether a request has the form that Stripe documents: the official library has it as types, written from Stripe's own
description of its API. What is sent and not in there would be refused by Stripe, or mean something else."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

import stripe.params as forms
from stripe.params import billing
from typing_extensions import get_type_hints, is_typeddict

# The requests that are made, by method and path, with the library's type of what they may say.
FORMS: Mapping[tuple[str, str], type] = {
    ("GET", "/v1/customers"): forms.CustomerListParams,
    ("GET", "/v1/customers/search"): forms.CustomerSearchParams,
    ("POST", "/v1/customers"): forms.CustomerCreateParams,
    ("GET", "/v1/invoices"): forms.InvoiceListParams,
    ("POST", "/v1/invoices"): forms.InvoiceCreateParams,
    ("GET", "/v1/invoices/{id}"): forms.InvoiceRetrieveParams,
    ("POST", "/v1/invoices/{id}"): forms.InvoiceUpdateParams,
    ("DELETE", "/v1/invoices/{id}"): forms.InvoiceDeleteParams,
    ("GET", "/v1/invoices/{id}/lines"): forms.InvoiceListLinesParams,
    ("POST", "/v1/invoices/{id}/add_lines"): forms.InvoiceAddLinesParams,
    ("POST", "/v1/invoices/{id}/remove_lines"): forms.InvoiceRemoveLinesParams,
    ("POST", "/v1/invoices/{id}/finalize"): forms.InvoiceFinalizeInvoiceParams,
    ("POST", "/v1/invoices/{id}/void"): forms.InvoiceVoidInvoiceParams,
    ("GET", "/v1/credit_notes"): forms.CreditNoteListParams,
    ("POST", "/v1/credit_notes"): forms.CreditNoteCreateParams,
    ("GET", "/v1/credit_notes/{id}/lines"): forms.CreditNoteLineItemListParams,
    ("GET", "/v1/events"): forms.EventListParams,
    ("POST", "/v1/billing/meter_events"): billing.MeterEventCreateParams,
}
_OPTIONS = {"api_key", "idempotency_key", "stripe_account", "stripe_context", "stripe_version", "headers"}
_OPTIONS |= {"max_network_retries", "content_type"}


def form_of(method: str, path: str) -> type | None:
    """The form of a request; None for one that is not made by the product."""
    parts = path.rstrip("/").split("/")
    for (of, known), form in FORMS.items():
        pattern = known.split("/")
        fits = len(pattern) == len(parts) and all(
            mine in {"{id}", theirs} for mine, theirs in zip(pattern, parts, strict=True)
        )
        if of == method and fits:
            return form
    return None


def wrong_with(data: Mapping[str, Any], form: type) -> str | None:
    """What is wrong with what a request says, as it arrives: texts, and maps and lists of texts."""
    return _of_map(data, form, "")


@cache
def _hints(form: type) -> dict[str, Any]:
    """The fields of a form, without those of a request that are no fields; one of them names a type that is not there
    at run time."""
    found = get_type_hints(form, localns={**vars(typing), "StripeContext": object}, include_extras=True)
    return {name: each for name, each in found.items() if name not in _OPTIONS}


def _of_map(data: Any, form: type, path: str) -> str | None:
    if not isinstance(data, Mapping):
        return f"{path}: must be a map"
    hints = _hints(form)
    for name, value in data.items():
        if name not in hints:
            return f"Received unknown parameter: {path}{name}"
        wrong = _of(value, hints[name], f"{path}{name}")
        if wrong is not None:
            return wrong
    needed = {name for name, each in hints.items() if get_origin(each) is not NotRequired}
    missing = needed - set(data)
    return f"Missing required param: {path}{min(missing)}" if missing else None


def _of(value: Any, hint: Any, path: str) -> str | None:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in {NotRequired, Required}:
        return _of(value, parts[0], path)
    if origin in {Union, UnionType}:
        found = [_of(value, each, path) for each in parts]
        # A list of words that ends with any text is meant as the list: Stripe refuses the others.
        words = [each for each in parts if get_origin(each) is Literal and get_args(each) != ("",)]
        return _of(value, words[0], path) if words and str in parts else None if None in found else found[0]
    if origin is Literal:
        return None if value in parts else f"{path}: must be one of {', '.join(map(str, parts))}, got {value!r}"
    if origin is list:
        if not isinstance(value, list):
            return f"{path}: must be a list"
        return next((wrong for n, each in enumerate(value) if (wrong := _of(each, parts[0], f"{path}[{n}]."))), None)
    if origin is dict:
        texts = isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values())
        return None if texts and len(value) <= 50 else f"{path}: must be a map of at most 50 texts"
    if is_typeddict(hint):
        return _of_map(value, hint, f"{path}.")
    if hint in {int, Decimal, bool, float}:
        pattern = {int: r"-?[0-9]+", bool: "true|false"}.get(hint, r"-?[0-9]+(\.[0-9]+)?")
        fits = isinstance(value, str) and re.fullmatch(pattern, value)
        return None if fits else f"{path}: must be {hint.__name__}, got {value!r}"
    return None if isinstance(value, str) else f"{path}: must be a text"
