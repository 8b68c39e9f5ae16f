"""Settings of the organisation, and the lists that people choose from: currencies, reasons, types of transactions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control import organization_config
from tallystick.control.currencies import CURRENCIES
from tallystick.control.desk import Noun
from tallystick.control.picklists import BILL_GROUPING_KEYS, CREDIT_REASONS, DEBIT_REASONS, TRANSACTION_TYPES
from tallystick.core import wire
from tallystick.core.money import RoundingMode
from tallystick.core.organization import (
    BILL_INTERVALS,
    Currency,
    ExternalInvoiceDate,
    GracePeriodUnit,
    LateUsage,
    OrganizationConfig,
    UnknownAccounts,
)
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.ports import Page as Part
from tallystick.ports import Where
from tallystick.ports.founded import config_of

# What the page changes, by how it is typed; everything else stays as it is.
TEXTS = ("currency", "timezone", "billPrefix", "externalInvoiceDate", "unknownAccounts", "lateUsage")
DAYS = ("dayEpoch", "weekEpoch", "monthEpoch", "yearEpoch")
NUMBERS = (
    "daysBeforeBillDue",
    "scheduledBillInterval",
    "scheduledBillOffset",
    "autoApproveBillsGracePeriod",
    "sequenceStartNumber",
    "futureToleranceSeconds",
)
FLAGS = (
    ("standingChargeBillInAdvance", "Bill standing charges in advance"),
    ("minimumSpendBillInAdvance", "Bill minimum spends in advance"),
    ("commitmentFeeBillInAdvance", "Bill fees of commitments in advance"),
    ("consolidateBills", "One bill of an account for all its frequencies"),
    ("suppressedEmptyBills", "Make no bills that have nothing on them"),
    ("allowNegativeBalances", "Let balances fall below zero"),
    ("allowOverlappingPlans", "Let an account have several plans of a product"),
    ("requireMeasurementUid", "Refuse measurements without a uid"),
)
LISTS: Mapping[str, tuple[str, Noun[Any]]] = {
    "creditreason": ("Reasons of credits", CREDIT_REASONS),
    "debitreason": ("Reasons of debits", DEBIT_REASONS),
    "transactiontype": ("Types of balance transactions", TRANSACTION_TYPES),
    "billgroupingkey": ("Bill grouping keys", BILL_GROUPING_KEYS),
}


def _settings(visit: Visit) -> Html:
    entity = config_of(visit.records)
    currencies = visit.records.find(Currency, Where(), Part(size=100)).rows
    return Html(
        "settings.html",
        {
            "config": _wire(entity.value),
            "version": entity.version,
            "flags": FLAGS,
            "currencies": [(each.value.code, f"{each.value.code}: {each.value.name}") for each in currencies],
            "intervals": [("", "Never"), *((str(each), f"Every {each} hours") for each in BILL_INTERVALS if each)],
            "units": [("", "–"), *((each.value, each.value.lower()) for each in GracePeriodUnit)],
            "invoice_dates": [(each.value, _words(each)) for each in ExternalInvoiceDate],
            "unknown_accounts": [(UnknownAccounts.CREATE, "Create the account"), (UnknownAccounts.QUEUE, "Queue it")],
            "late_usage": [("", "As bills are approved"), *((each.value, _words(each)) for each in LateUsage)],
        },
    )


def _save(visit: Visit) -> Redirect:
    form = visit.form
    given: dict[str, object] = dict(_wire(config_of(visit.records).value))
    given |= {name: form.text(name) for name in TEXTS}
    given |= {name: form.day(name) for name in DAYS}
    given |= {name: form.decimal(name) for name in NUMBERS}
    given["autoApproveBillsGracePeriodUnit"] = form.text("autoApproveBillsGracePeriodUnit")
    if given["autoApproveBillsGracePeriod"] is None:
        given["autoApproveBillsGracePeriodUnit"] = None
    given |= {name: form.flag(name) for name, _ in FLAGS}
    kept = {name: value for name, value in given.items() if value is not None}
    value = wire.decode(OrganizationConfig, wire.encode(kept))
    version = form.number("version", lowest=1, highest=2**31)
    organization_config.update(visit.desk, value, version)
    return Redirect("/settings", notice="The settings are saved.")


def _lists(visit: Visit) -> Html:
    lists = [
        (kind, label, visit.records.find(noun.of, Where(), Part(size=100)).rows)
        for kind, (label, noun) in LISTS.items()
    ]
    currencies = visit.records.find(Currency, Where(), Part(size=100)).rows
    modes = [("", "–"), *((each.value, _words(each)) for each in RoundingMode)]
    return Html("lists.html", {"lists": lists, "currencies": currencies, "modes": modes})


def _add(visit: Visit) -> Redirect:
    label, noun = _list_of(visit)
    form = visit.form
    given: dict[str, object] = {"name": form.required("name"), "code": form.text("code")}
    if "exclusive" in noun.of.__struct_fields__:
        given["exclusive"] = form.flag("exclusive")
    value = wire.decode(noun.of, wire.encode({name: each for name, each in given.items() if each is not None}))
    noun.create(visit.desk, value)
    return Redirect("/settings/lists", notice=f"{label}: {value.name} is there.")


def _archive(visit: Visit) -> Redirect:
    """Archived ones can no longer be chosen; what has them keeps them. Again brings one back."""
    _, noun = _list_of(visit)
    entity = noun.retrieve(visit.records, visit.path["id"])
    given = {**_wire(entity.value), "archived": not entity.value.archived}
    noun.update(visit.desk, entity.id, wire.decode(noun.of, wire.encode(given)), entity.version)
    return Redirect("/settings/lists", notice=f"{entity.value.name} is {'archived' if given['archived'] else 'back'}.")


def _add_currency(visit: Visit) -> Redirect:
    form = visit.form
    given = {
        "name": form.required("name"),
        "code": form.required("code"),
        "maxDecimalPlaces": form.number("maxDecimalPlaces", lowest=0, highest=5),
        "roundingMode": form.text("roundingMode"),
    }
    kept = {name: each for name, each in given.items() if each is not None}
    made = CURRENCIES.create(visit.desk, wire.decode(Currency, wire.encode(kept)))
    return Redirect("/settings/lists", notice=f"The currency {made.value.code} is there.")


def _list_of(visit: Visit) -> tuple[str, Noun[Any]]:
    if visit.path["kind"] not in LISTS:
        raise Refusal("not_found", f"kind: there is no list {visit.path['kind'][:40]!r}")
    return LISTS[visit.path["kind"]]


def _wire(value: object) -> dict[str, Any]:
    """A value by the names of the wire."""
    return wire.decode(dict[str, Any], wire.encode(value))


def _words(code: str) -> str:
    return code.replace("_", " ").capitalize()


PAGES = (
    Page(method="GET", path="/settings", run=_settings, title="Settings of the organisation", section="settings"),
    Page(
        method="POST",
        path="/settings",
        run=_save,
        title="Change the settings",
        may=May.ADMINISTER,
        section="settings",
        again=_settings,
    ),
    Page(method="GET", path="/settings/lists", run=_lists, title="Currencies and lists", section="settings"),
    Page(
        method="POST",
        path="/settings/currencies",
        run=_add_currency,
        title="Add a currency",
        may=May.ADMINISTER,
        section="settings",
    ),
    Page(method="POST", path="/settings/lists/{kind}", run=_add, title="Add to a list", may=May.ADMINISTER),
    Page(
        method="POST",
        path="/settings/lists/{kind}/{id}/archive",
        run=_archive,
        title="Archive something of a list, or bring it back",
        may=May.ADMINISTER,
    ),
)
