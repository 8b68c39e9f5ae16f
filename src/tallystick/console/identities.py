"""Identities: whose usage names an API key, a workspace or a wallet; and the usage that waits for one."""

from __future__ import annotations

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.identities import IDENTITIES, dismiss, get_unmapped, list_unmapped, list_waiting
from tallystick.core.account import Account
from tallystick.core.identity import MAX_PRIORITY, Identity, hash_of, hint_of
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.ports import Page as Part
from tallystick.ports import Where

SIZE = 50
NEWEST = 20  # measurements of an identity that its page shows


def _list(visit: Visit) -> Html:
    type_, account_id = visit.query.text("type"), visit.query.text("accountId")
    equal = {name: (value,) for name, value in (("type", type_), ("account_id", account_id)) if value}
    found = IDENTITIES.find(visit.records, Where(equal=equal), visit.query.page(highest=SIZE))
    codes = visit.records.codes(Account, {each.value.account_id for each in found.rows})
    waits = list_unmapped(visit.records, Part(size=1)).rows
    values = {"rows": found.rows, "next_token": found.next_token, "codes": codes, "waits": bool(waits)}
    return Html("identities.html", values)


def _add(visit: Visit) -> Redirect:
    form = visit.form
    type_, value, secret = form.required("type"), form.required("value"), form.flag("sensitive")
    return _keep(
        visit,
        Identity(
            type=type_,
            hash=hash_of(visit.app.identity_key, visit.organization.id, type_, value),
            account_id=_account(visit),
            value=None if secret else value,
            hint=hint_of(value) if secret else None,
            sensitive=secret,
            name=form.text("name"),
            start_date=visit.form.instant("startDate"),
            end_date=visit.form.instant("endDate"),
            priority=visit.form.number("priority", lowest=0, highest=MAX_PRIORITY) or 0,
        ),
    )


def _unmapped(visit: Visit) -> Html:
    found = list_unmapped(visit.records, visit.query.page(highest=SIZE), type=visit.query.text("type"))
    return Html("identities_unmapped.html", {"rows": found.rows, "next_token": found.next_token})


def _one(visit: Visit) -> Html:
    group = get_unmapped(visit.records, visit.path["id"])
    waiting = list_waiting(visit.records, Part(size=NEWEST), hash=group.hash).rows
    return Html("identity_unmapped.html", {"group": group, "waiting": waiting})


def _give(visit: Visit) -> Redirect:
    group = get_unmapped(visit.records, visit.path["id"])
    return _keep(
        visit,
        Identity(
            type=group.type,
            hash=group.hash,
            account_id=_account(visit),
            value=group.value,
            hint=group.hint,
            sensitive=group.value is None,
            name=visit.form.text("name"),
            start_date=visit.form.instant("startDate"),
            end_date=visit.form.instant("endDate"),
            priority=visit.form.number("priority", lowest=0, highest=MAX_PRIORITY) or 0,
        ),
    )


def _dismiss(visit: Visit) -> Redirect:
    group = get_unmapped(visit.records, visit.path["id"])
    told = dismiss(visit.desk, group.id, visit.form.required("reason")[:500])
    notice = f"{told.dismissed:,} measurements are dismissed and will never count."
    if told.left:
        return Redirect(
            f"/unmappedusage/{group.id}", notice=f"{notice} {told.left:,} still wait: dismiss them as well."
        )
    return Redirect("/unmappedusage", notice=notice)


def _keep(visit: Visit, identity: Identity) -> Redirect:
    IDENTITIES.create(visit.desk, identity)
    return Redirect("/identities", notice="It is known whose usage this is; what waited for it counts within seconds.")


def _remove(visit: Visit) -> Redirect:
    IDENTITIES.delete(visit.desk, visit.path["id"])
    return Redirect("/identities", notice="The entry is removed. What was counted by it stays with its account.")


def _account(visit: Visit) -> str:
    code = visit.form.required("account")
    account = visit.records.by_code(Account, code)
    if account is None:
        raise Refusal("invalid_request", f"account: there is no account with the code {code[:80]!r}", field="account")
    return account.id


PAGES = (
    Page(method="GET", path="/identities", run=_list, title="Identities", section="accounts"),
    Page(
        method="POST",
        path="/identities",
        run=_add,
        title="Say whose usage an identity is",
        may=May.CONFIGURE,
        section="accounts",
        again=_list,
    ),
    Page(method="GET", path="/unmappedusage", run=_unmapped, title="Unmapped usage", section="accounts"),
    Page(method="GET", path="/unmappedusage/{id}", run=_one, title="Unmapped identity", section="accounts"),
    Page(
        method="POST",
        path="/unmappedusage/{id}",
        run=_give,
        title="Give an identity to an account",
        may=May.CONFIGURE,
        section="accounts",
        again=_one,
    ),
    Page(
        method="POST",
        path="/unmappedusage/{id}/dismiss",
        run=_dismiss,
        title="Dismiss usage of an unmapped identity",
        may=May.MEND,
        section="accounts",
        again=_one,
    ),
    Page(
        method="POST",
        path="/identities/{id}/remove",
        run=_remove,
        title="Remove an identity",
        may=May.CONFIGURE,
        section="accounts",
        again=_list,
    ),
)
