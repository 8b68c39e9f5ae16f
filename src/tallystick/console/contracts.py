"""Contracts: what an account has agreed to for a time, what belongs to it, and its end."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.console.agreed import account_of, act, changed, form, new, shown, state, today, version
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.accounts import ACCOUNTS
from tallystick.control.contracts import CONTRACTS
from tallystick.control.end_dating import BillingEntity, EndDating, Ended, end_of_account, end_of_contract
from tallystick.core.account import AccountPlan
from tallystick.core.catalog import Plan
from tallystick.core.charge import Charge
from tallystick.core.contract import Contract
from tallystick.core.credit_types import Commitment
from tallystick.core.plan_group import PlanGroup
from tallystick.ports import Page as ListPage
from tallystick.ports import Where

SHOWN = 50
ENDING = {
    BillingEntity.ACCOUNTPLAN: "Plans of the account",
    BillingEntity.CONTRACT: "Contracts",
    BillingEntity.PREPAYMENT: "Commitments",
    BillingEntity.PRICINGS: "Prices of plans made for this account",
    BillingEntity.COUNTER_PRICINGS: "Counter prices of plans made for this account",
}


def _new(visit: Visit) -> Html:
    start = today(visit).replace(day=1)
    last = start.replace(year=start.year + 1)
    values = {"account": account_of(visit), "contract": None, "start": start, "end": last}
    return Html("contract_form.html", values)


def _typed(visit: Visit) -> dict[str, object]:
    form = visit.form
    return {
        "name": form.required("name"),
        "code": form.text("code"),
        "description": form.text("description"),
        "purchaseOrderNumber": form.text("purchaseOrderNumber"),
        "startDate": form.day("startDate") or form.required("startDate"),
        "endDate": form.day("endDate") or form.required("endDate"),
        "applyContractPeriodLimits": form.flag("applyContractPeriodLimits"),
    }


def _create(visit: Visit) -> Redirect:
    account = account_of(visit)
    contract = CONTRACTS.create(visit.desk, new(Contract, {"accountId": account.id, **_typed(visit)}))
    return Redirect(f"/contracts/{contract.id}", notice=f"The contract {contract.value.name} is there.")


def _show(visit: Visit) -> Html:
    contract = CONTRACTS.retrieve(visit.records, visit.path["id"])
    of = Where(equal={"contract_id": (contract.id,)})
    attached = visit.records.find(AccountPlan, of, ListPage(size=SHOWN)).rows
    plans = visit.records.get_many(Plan, {each.value.plan_id for each in attached if each.value.plan_id})
    groups = visit.records.get_many(
        PlanGroup, {each.value.plan_group_id for each in attached if each.value.plan_group_id}
    )
    values = {
        "contract": contract,
        "account": account_of(visit, contract.value.account_id),
        "attached": attached,
        "plan_names": {
            **{id_: each.value.name for id_, each in plans.items()},
            **{id_: each.value.name for id_, each in groups.items()},
        },
        "commitments": visit.records.find(Commitment, of, ListPage(size=SHOWN)).rows,
        "charges": visit.records.find(Charge, of, ListPage(size=SHOWN)).rows,
        "state": state(visit, contract.value.start_date, contract.value.end_date),
        "today": today(visit).isoformat(),
        "kinds": _kinds((BillingEntity.ACCOUNTPLAN, BillingEntity.PREPAYMENT, BillingEntity.CONTRACT)),
    }
    return Html("contract.html", values)


def _kinds(kinds: Sequence[BillingEntity]) -> list[tuple[str, str]]:
    return [(each, ENDING[each]) for each in kinds]


def _edit(visit: Visit) -> Html:
    contract = CONTRACTS.retrieve(visit.records, visit.path["id"])
    values = {"account": account_of(visit, contract.value.account_id), "contract": contract}
    return Html("contract_form.html", values)


def _update(visit: Visit) -> Redirect:
    contract = CONTRACTS.retrieve(visit.records, visit.path["id"])
    CONTRACTS.update(visit.desk, contract.id, changed(contract.value, _typed(visit)), version(visit))
    return Redirect(f"/contracts/{contract.id}", notice="The contract is changed.")


def _delete(visit: Visit) -> Redirect:
    gone = CONTRACTS.delete(visit.desk, visit.path["id"])
    return Redirect(f"/accounts/{gone.value.account_id}", notice=f"The contract {gone.value.name} is deleted.")


# ------------------------------------------------------------------------------------------------------ ending


def _wanted(visit: Visit) -> EndDating:
    typed = {
        "billingEntities": visit.form.texts("kinds"),
        "endDate": visit.moment("endDate") or visit.form.required("endDate"),
        "applyToChildren": visit.form.flag("applyToChildren"),
    }
    return new(EndDating, typed)


def _in_words(ended: Ended) -> str:
    done = sum(len(each.ids) for each in ended.updated_entities.values())
    left = sum(len(each.ids) for each in ended.failed_entities.values())
    _, _, why = ended.status_message.partition("could not: ")
    return f"{done} ended." + (f" {left} could not: {why}" if left else "")


def _end_contract(visit: Visit) -> Redirect:
    ended = end_of_contract(visit.desk, visit.path["id"], _wanted(visit))
    return Redirect(f"/contracts/{visit.path['id']}", notice=_in_words(ended))


def _end(visit: Visit) -> Html:
    account = ACCOUNTS.retrieve(visit.records, visit.path["id"])
    values = {"account": account, "kinds": _kinds(tuple(ENDING)), "today": today(visit).isoformat()}
    return Html("account_end.html", values)


def _end_account(visit: Visit) -> Redirect:
    ended = end_of_account(visit.desk, visit.path["id"], _wanted(visit))
    return Redirect(f"/accounts/{visit.path['id']}", notice=_in_words(ended))


PAGES: tuple[Page, ...] = (
    form("/accounts/{id}/contract", _new, "A new contract"),
    act("/accounts/{id}/contract", _create, "Agree a contract", _new),
    shown("/contracts/{id}", _show, "A contract and what belongs to it"),
    form("/contracts/{id}/edit", _edit, "Edit a contract"),
    act("/contracts/{id}/edit", _update, "Change a contract", _edit),
    act("/contracts/{id}/end", _end_contract, "End a contract and what belongs to it", _show),
    act("/contracts/{id}/delete", _delete, "Delete a contract", _show),
    form("/accounts/{id}/end", _end, "End what an account is billed by"),
    act("/accounts/{id}/end", _end_account, "End what an account is billed by", _end),
)
