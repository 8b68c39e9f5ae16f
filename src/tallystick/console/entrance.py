"""How a browser gets in: the session's cookie, the token of forms, and where a request comes from."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from tallystick.console.page import Cookie, Guest, Page, Redirect
from tallystick.control import users
from tallystick.control.users import SignedIn
from tallystick.errors import Refusal

SIGN_IN = "/sign-in"
SESSION, SECURE_SESSION = "tallystick-session", "__Host-tallystick-session"
TOKEN = "form-token"  # noqa: S105  the name of a field
LOOPBACK = frozenset({"127.0.0.1", "::1"})
FOREIGN = Refusal("forbidden", "Origin: this form was sent from another site; open the page here and send it again")


def session_of(guest: Guest) -> tuple[str, SignedIn] | None:
    """The token of the request's session and who it is; None when there is none, or it ended."""
    token = guest.cookies.get(SECURE_SESSION if guest.secure else SESSION)
    if not token:
        return None
    signed_in = users.signed_in(guest.app.records, token, guest.now)
    return None if signed_in is None else (token, signed_in)


def session_cookie(guest: Guest, token: str) -> Cookie:
    """The cookie that carries a session; an empty token takes it away."""
    name = SECURE_SESSION if guest.secure else SESSION
    seconds = int(users.LONGEST.total_seconds()) if token else 0
    return Cookie(name=name, value=token, seconds=seconds, secure=guest.secure)


def to_sign_in(guest: Guest, page: Page) -> Redirect:
    """To the sign-in, and back to the page afterwards."""
    wanted = guest.raw_path + (f"?{urlencode(guest.query.values)}" if guest.query.values else "")
    return Redirect(f"{SIGN_IN}?{urlencode({'next': wanted})}" if page.method == "GET" and wanted != "/" else SIGN_IN)


def local(path: str | None) -> str:
    """A path of this server, for going on after the sign-in; anything else leads home."""
    fine = path is not None and path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if fine and path is not None else "/"


def form_token(key: bytes, session_token: str) -> str:
    """What every form of a session carries: nobody without the session's cookie can know it."""
    return hmac.new(key, f"form\n{session_token}".encode(), hashlib.sha256).hexdigest()


def require_token(sent: str, wanted: str) -> None:
    """Refuse a form that does not carry the token of the session."""
    if not hmac.compare_digest(sent.encode(), wanted.encode()):
        raise Refusal("forbidden", "form: this form belongs to another session; go back, reload, and send it again")


def require_same_origin(headers: Mapping[str, str], public_url: str = "") -> None:
    """Refuse a form that another site sent, as far as the browser says where it comes from."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None:
        ours = origin == public_url if public_url else urlsplit(origin).netloc == headers.get("host", "")
        if not ours:
            raise FOREIGN
    elif site not in {None, "none", "same-origin"}:
        raise FOREIGN


def address_of(peer: str, headers: Mapping[str, str]) -> str:
    """The machine that asks; behind a proxy on this one, what the proxy says."""
    forwarded = headers.get("x-forwarded-for", "")
    return forwarded.rpartition(",")[2].strip()[:64] if forwarded and peer in LOOPBACK else peer
