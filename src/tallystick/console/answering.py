"""From what a page answers to what is sent: rendered, with the headers that keep browsers from doing more."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tallystick.console.entrance import TOKEN
from tallystick.console.form import Form
from tallystick.console.page import Answer, Cookie, File, Guest, Html, Page, Redirect, Visit
from tallystick.console.render import render
from tallystick.core.user import May
from tallystick.errors import Refusal

HTML = "text/html"  # Litestar adds the charset
NOTICE = "tallystick-notice"
NOTICE_SECONDS = 60
MAX_NOTICE = 400
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
AS_IT_IS = "/?&=#%:+,;@~!$'()*[]"  # of a path that is answered: the rest is percent-encoded
# Forms need their Origin header, which `no-referrer` would empty.
SAFE: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
# The navigation: section, what it is called, where it leads, and what one must be allowed to see it.
NAVIGATION = (
    ("home", "Home", "/", May.SEE),
    ("bills", "Bills", "/bills", May.SEE),
    ("accounts", "Accounts", "/accounts", May.SEE),
    ("plans", "Plans & pricing", "/plans", May.SEE),
    ("meters", "Meters", "/meters", May.SEE),
    ("explorer", "Explorer", "/explorer", May.SEE),
    ("failed", "Failed", "/failed", May.SEE),
    ("reconciliations", "Reconciliation", "/reconciliations", May.SEE),
    ("corrections", "Corrections", "/corrections", May.SEE),
    ("jobs", "Jobs", "/jobs", May.SEE),
    ("playground", "Playground", "/playground", May.SEE),
    ("rollouts", "Rollouts", "/rollouts", May.SEE),
    ("accounting", "Accounting", "/accounting", May.SEE),
    ("exports", "Exports", "/exports", May.SEE),
    ("insights", "Insights", "/insights", May.SEE),
    ("settings", "Settings", "/settings", May.SEE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is sent."""

    status: int
    body: bytes
    media_type: str
    headers: Mapping[str, str]
    cookies: tuple[Cookie, ...] = ()


def reply_of(
    answer: Answer,
    guest: Guest,
    *,
    visit: Visit | None = None,
    page: Page | None = None,
    form_token: str = "",
    refusal: Refusal | None = None,
) -> Reply:
    """An answer as it is sent."""
    match answer:
        case File():
            headers = {**SAFE, **answer.headers}
            if answer.name is not None:
                headers["content-disposition"] = f"attachment; filename*=UTF-8''{quote(answer.name, safe='')}"
            return Reply(status=200, body=answer.body, media_type=answer.media_type, headers=headers)
        case Redirect():
            cookies = answer.cookies
            if answer.notice:
                cookies += (_notice_cookie(guest, answer.notice),)
            headers = {**SAFE, "location": quote(answer.path, safe=AS_IT_IS)}
            return Reply(status=303, body=b"", media_type=HTML, headers=headers, cookies=cookies)
        case Html():
            notice = _notice_of(guest)
            given = {"now": guest.now, "notice": notice, "refusal": refusal, "typed": guest.form}
            around = {**_around(visit, page, form_token), **given, "query": guest.query.values}
            body = render(answer.template, {**around, **answer.values})
            cookies = answer.cookies
            if notice:
                cookies += (Cookie(name=NOTICE, value="", seconds=0, secure=guest.secure),)
            status = answer.status if refusal is None else 422
            headers = {**SAFE, **answer.headers}
            return Reply(status=status, body=body.encode(), media_type=HTML, headers=headers, cookies=cookies)


def error_page(status: int, message: str, hint: str, *, visit: Visit | None = None, form_token: str = "") -> Reply:
    """A page that says what went wrong and what to do."""
    around = _around(visit, None, form_token)
    told = {"status": status, "message": message, "hint": hint}
    nothing = {"notice": "", "typed": Form({}), "query": {}, "refusal": None, "now": visit.now if visit else None}
    body = render("error.html", {**around, **nothing, **told})
    return Reply(status=status, body=body.encode(), media_type=HTML, headers=SAFE)


def _around(visit: Visit | None, page: Page | None, form_token: str) -> dict[str, Any]:
    """What the layout shows around a page."""
    if visit is None:
        return {"visit": None, "navigation": (), "section": "", "form_token": "", "token_name": TOKEN, "May": May}
    return {
        "visit": visit,
        "navigation": tuple(each for each in NAVIGATION if visit.may(each[3])),
        "section": "" if page is None else page.section,
        "form_token": form_token,
        "token_name": TOKEN,
        "May": May,
        "zone": visit.zone,
    }


def _notice_cookie(guest: Guest, notice: str) -> Cookie:
    text = base64.urlsafe_b64encode(notice[:MAX_NOTICE].encode()).decode()
    value = f"{text}.{_signed(guest, text)}"
    return Cookie(name=NOTICE, value=value, seconds=NOTICE_SECONDS, secure=guest.secure)


def _notice_of(guest: Guest) -> str:
    """What the page before left to say; only what this server wrote."""
    text, _, signature = guest.cookies.get(NOTICE, "").partition(".")
    if not text or not hmac.compare_digest(signature.encode(), _signed(guest, text).encode()):
        return ""
    return base64.urlsafe_b64decode(text).decode()


def _signed(guest: Guest, text: str) -> str:
    return hmac.new(guest.app.key, f"notice\n{text}".encode(), hashlib.sha256).hexdigest()
