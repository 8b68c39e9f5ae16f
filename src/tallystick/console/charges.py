"""Single charges and discounts of an account: an amount on a bill date, and what is taken off."""

from __future__ import annotations

from tallystick.console.agreed import (
    Choices,
    account_of,
    act,
    changed,
    contracts,
    currencies,
    form,
    new,
    state,
    today,
    version,
)
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.console.products import products
from tallystick.control.charges import CHARGES, bills_of
from tallystick.control.desk import new_id
from tallystick.control.discounts import DISCOUNTS
from tallystick.core.charge import Charge, exact_amount
from tallystick.core.discount import Discount, DiscountType

KINDS: Choices = [(DiscountType.PERCENT, "Percent of what is charged"), (DiscountType.AMOUNT, "An amount each bill")]


def _new_charge(visit: Visit) -> Html:
    account = account_of(visit)
    values = {
        "account": account,
        "charge": None,
        "currencies": currencies(visit),
        "currency": account.value.currency or visit.config.currency,
        "contracts": contracts(visit, account),
        "today": today(visit).isoformat(),
    }
    return Html("charge_form.html", values)


def _charge(visit: Visit) -> dict[str, object]:
    form = visit.form
    day = form.day("billDate") or form.required("billDate")
    start = visit.moment("servicePeriodStartDate") or visit.moment("billDate")
    return {
        "name": form.required("name"),
        "description": form.text("description"),
        "notes": form.text("notes"),
        "amount": form.decimal("amount"),
        "units": form.decimal("units"),
        "unitPrice": form.decimal("unitPrice"),
        "currency": form.required("currency"),
        "billDate": day,
        "servicePeriodStartDate": start,
        "servicePeriodEndDate": visit.moment("servicePeriodEndDate") or start,
        "contractId": form.text("contractId"),
    }


def _create_charge(visit: Visit) -> Redirect:
    account = account_of(visit)
    of = {"accountId": account.id, "entityType": "AD_HOC", "lineItemType": "AD_HOC"}
    typed = {"code": visit.form.text("code") or f"charge-{new_id()[:8]}", **of, **_charge(visit)}
    charge = CHARGES.create(visit.desk, new(Charge, typed))
    return Redirect(f"/accounts/{account.id}", notice=f"The charge {charge.value.name} will be on the bill of its day.")


def _show_charge(visit: Visit) -> Html:
    charge = CHARGES.retrieve(visit.records, visit.path["id"])
    account = account_of(visit, charge.value.account_id)
    stands = bills_of(visit.records, (charge,)).get(charge.id)
    values = {
        "account": account,
        "charge": charge,
        "amount": exact_amount(charge.value),
        "bill_id": stands.id if stands else None,
        "locked": stands is not None and stands.keys["locked"] == "true",
        "currencies": currencies(visit),
        "contracts": contracts(visit, account),
    }
    return Html("charge.html", values)


def _update_charge(visit: Visit) -> Redirect:
    charge = CHARGES.retrieve(visit.records, visit.path["id"])
    before = charge.value
    typed = _charge(visit) | {
        "servicePeriodStartDate": visit.moment("servicePeriodStartDate", before.service_period_start_date)
        or before.service_period_start_date,
        "servicePeriodEndDate": visit.moment("servicePeriodEndDate", before.service_period_end_date)
        or before.service_period_end_date,
    }
    CHARGES.update(visit.desk, charge.id, changed(before, typed), version(visit))
    return Redirect(f"/charges/{charge.id}", notice="The charge is changed. Run its bill again to see it there.")


def _delete_charge(visit: Visit) -> Redirect:
    gone = CHARGES.delete(visit.desk, visit.path["id"])
    return Redirect(f"/accounts/{gone.value.account_id}", notice=f"The charge {gone.value.name} is deleted.")


# --------------------------------------------------------------------------------------------------- discounts


def _discount_form(visit: Visit) -> Html:
    return _discount_page(visit, account_id=visit.path["id"])


def _discount_page(visit: Visit, *, account_id: str, **more: object) -> Html:
    account = account_of(visit, account_id)
    values = {
        "account": account,
        "discount": None,
        "kinds": KINDS,
        "currencies": [("", "–"), *currencies(visit)],
        "products": [("", "The whole bill"), *products(visit)],
        "today": today(visit).replace(day=1).isoformat(),
        **more,
    }
    return Html("discount_form.html", values)


def _discount(visit: Visit, before: Discount | None = None) -> dict[str, object]:
    form = visit.form
    type_ = form.choice("type", DiscountType) or form.required("type")
    percent = type_ == DiscountType.PERCENT
    start = visit.moment("startDate", before.start_date if before else None)
    return {
        "name": form.required("name"),
        "type": type_,
        "percent": form.decimal("percent"),
        "amount": form.decimal("amount"),
        # A percentage has no currency: the one that the list has chosen by itself is not meant.
        "currency": None if percent and form.decimal("amount") is None else form.text("currency"),
        "startDate": start or form.required("startDate"),
        "endDate": visit.moment("endDate", before.end_date if before else None),
        "productId": form.text("productId"),
        "description": form.text("description"),
    }


def _create_discount(visit: Visit) -> Redirect:
    account = account_of(visit)
    discount = DISCOUNTS.create(visit.desk, new(Discount, {"accountId": account.id, **_discount(visit)}))
    return Redirect(f"/accounts/{account.id}", notice=f"The discount {discount.value.name} is there.")


def _show_discount(visit: Visit) -> Html:
    discount = DISCOUNTS.retrieve(visit.records, visit.path["id"])
    value = discount.value
    stands = state(visit, value.start_date, value.end_date)
    return _discount_page(visit, account_id=value.account_id, discount=discount, state=stands)


def _update_discount(visit: Visit) -> Redirect:
    discount = DISCOUNTS.retrieve(visit.records, visit.path["id"])
    value = changed(discount.value, _discount(visit, discount.value))
    DISCOUNTS.update(visit.desk, discount.id, value, version(visit))
    return Redirect(f"/accounts/{value.account_id}", notice=f"The discount {value.name} is changed.")


def _delete_discount(visit: Visit) -> Redirect:
    gone = DISCOUNTS.delete(visit.desk, visit.path["id"])
    return Redirect(f"/accounts/{gone.value.account_id}", notice=f"The discount {gone.value.name} is deleted.")


PAGES: tuple[Page, ...] = (
    form("/accounts/{id}/charge", _new_charge, "A new charge"),
    act("/accounts/{id}/charge", _create_charge, "Charge an account an amount", _new_charge),
    form("/charges/{id}", _show_charge, "A charge and the bill it is on"),
    act("/charges/{id}", _update_charge, "Change a charge", _show_charge),
    act("/charges/{id}/delete", _delete_charge, "Delete a charge", _show_charge),
    form("/accounts/{id}/discount", _discount_form, "A new discount"),
    act("/accounts/{id}/discount", _create_discount, "Give an account a discount", _discount_form),
    form("/discounts/{id}", _show_discount, "A discount"),
    act("/discounts/{id}", _update_discount, "Change a discount", _show_discount),
    act("/discounts/{id}/delete", _delete_discount, "Delete a discount", _show_discount),
)
