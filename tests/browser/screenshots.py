"""Pictures of the main pages of the shop, into docs/screenshots: `make screenshots`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Literal

import typst

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), *(str(TESTS / part) for part in ("browser", "console", "api"))]

from browser_shop import Shop, open_shop  # noqa: E402  # these lie beside this file, which is no package
from people import sign_in  # noqa: E402  the path comes first
from playwright.sync_api import Browser, sync_playwright  # noqa: E402  the path comes first
from storefront import read, send  # noqa: E402  the path comes first

from tallystick.cli.launch import free_port, launched  # noqa: E402  the path comes first
from tenant import new_tenant  # noqa: E402  the path comes first

INTO = TESTS.parent / "docs" / "screenshots"
PHONE = ("home", "bill", "portal", "portal-bill")  # pages that are also taken at the width of a phone
QUIET = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
Scheme = Literal["light", "dark"]


def pages(shop: Shop) -> dict[str, str]:
    """The console's pages that are shown, by the names of their pictures."""
    ids, bill = shop.ids, f"/bills/{shop.ids['bills:nordwind:1']}"
    return {
        "home": "/",
        "bills": "/bills",
        "bill": bill,
        "line": f"{bill}/lines/4",
        "measurements": f"{bill}/lines/4/measurements?input=1",
        "account": f"/accounts/{ids['accounts:nordwind']}",
        "plan": f"/plans/{ids['plans:team']}",
        "price": f"/pricings/{ids['pricings:price-0']}",
        "playground": f"/playground?planId={ids['plans:team']}",
        "explorer": "/explorer",
        "failed": "/failed",
        "meters": "/meters",
        "audit": "/audit",
    }


def take(browser: Browser, shop: Shop, scheme: Scheme, width: int, portal: str) -> None:
    """One picture of each page in these looks; `portal` is a link for a customer."""
    context = browser.new_context(
        viewport={"width": width, "height": 844 if width < 1000 else 900},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    page = sign_in(context.new_page(), shop.tenant)
    tail = f"{scheme}{'-phone' if width < 1000 else ''}.png"
    for name, path in pages(shop).items():
        if width >= 1000 or name in PHONE:
            answer = page.goto(shop.tenant.url + path)
            assert answer is not None, path
            assert answer.ok, f"{path}: {answer.status}"
            page.screenshot(path=INTO / f"{name}-{tail}", full_page=True)
    page.goto(portal)
    page.screenshot(path=INTO / f"portal-{tail}", full_page=True)
    page.goto(f"{shop.tenant.url}/portal/bills/{shop.ids['bills:nordwind:0']}")
    page.screenshot(path=INTO / f"portal-bill-{tail}", full_page=True)
    context.close()


def first_page() -> bytes:
    """The first page of the invoice's PDF as a picture, set by the library that made it."""
    source = b'#set page(margin: 0pt, width: 210mm, height: 297mm)\n#image("invoice.pdf", page: 1, width: 100%)'
    made = typst.compile(source, root=str(INTO), format="png", ppi=110)
    assert isinstance(made, bytes), "one page is one picture"
    return made


def main() -> None:
    """Open the shop on a server of its own, and look at it."""
    INTO.mkdir(parents=True, exist_ok=True)
    path = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    with (
        tempfile.TemporaryDirectory() as directory,
        launched(Path(directory) / "data", free_port()) as server,
        sync_playwright() as playwright,
    ):
        shop = open_shop(new_tenant(server))
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        with shop.tenant.http() as http:
            approved = [shop.ids["bills:nordwind:0"], shop.ids["bills:acme:0"]]
            read(send(http, "POST", "/bills/approve", {"billIds": approved}))
            account = shop.ids["accounts:nordwind"]
            for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)):
                link = read(send(http, "POST", f"/accounts/{account}/portalsessions", {}))["url"]
                take(browser, shop, "dark" if scheme == "dark" else "light", width, link)
            invoice = http.get(f"/bills/{approved[0]}/invoice")
        browser.close()
    (INTO / "invoice.pdf").write_bytes(invoice.content)
    (INTO / "invoice.png").write_bytes(first_page())
    taken = sorted(INTO.glob("*.png"))
    print(f"{len(taken)} pictures and an invoice in {INTO}")


if __name__ == "__main__":
    main()
