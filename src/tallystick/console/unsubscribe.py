"""The page behind the link in a message by which a recipient ends messages of a kind. It asks first: programs that look
at messages follow links. Mail programs post to it themselves (RFC 8058)."""

from __future__ import annotations

from tallystick.console.page import Guest, Html, OpenPage
from tallystick.control.desk import Desk
from tallystick.control.emails import RECIPIENT, OptOutToken, SignedLinks, opt_out_by_link
from tallystick.core.email import MessageKind
from tallystick.ports.audit import Origin, acting

_CALLED = {
    MessageKind.BILL: "invoices",
    MessageKind.ALERT: "alerts about spend and credit",
    MessageKind.EVENT: "messages about events",
}


def _ask(guest: Guest) -> Html:
    token = _token(guest)
    return _page(guest, token, opt_out_by_link(guest.app.records, token, None), done=False)


def _end(guest: Guest) -> Html:
    token = _token(guest)
    name = opt_out_by_link(guest.app.records, token, None)
    with acting(Origin(actor=RECIPIENT, at=guest.now, request_id=guest.request_id)):
        records = guest.app.records.organization(token.organization_id)
        opt_out_by_link(guest.app.records, token, Desk(records=records, actor=RECIPIENT, now=guest.now))
    return _page(guest, token, name, done=True)


def _page(guest: Guest, token: OptOutToken, name: str, *, done: bool) -> Html:
    values = {"seller": name, "address": token.address, "what": _CALLED[token.kind], "done": done}
    return Html("unsubscribe.html", {**values, "here": guest.raw_path})


def _token(guest: Guest) -> OptOutToken:
    return SignedLinks(guest.app.key, guest.app.settings.public_url).read(guest.path["token"])


OPEN_PAGES = (
    OpenPage(method="GET", path="/unsubscribe/{token}", run=_ask, title="Ask for no more messages of a kind"),
    OpenPage(method="POST", path="/unsubscribe/{token}", run=_end, title="End messages of a kind"),
)
