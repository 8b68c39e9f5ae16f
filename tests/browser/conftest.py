"""A real browser on a real server. Every page it opens is watched: no script may fail, no policy be violated, and no
request may leave the host."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from browser_shop import Shop, open_shop
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tallystick.cli.launch import Server
from tenant import new_tenant

QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
SLOW = 20_000  # milliseconds that a busy machine may take for a page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, as Debian has it or as CHROMIUM names it; without one the tests fail."""
    path = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    assert path is not None, "there is no Chromium: run `make test-browser`, which installs it"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=[*QUIET.split(), "--disable-component-update"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages of fresh visitors (`new_context`'s options), and in the end says what went wrong in any of them."""
    wrong: list[str] = []
    contexts = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and "status of 4" not in message.text:
            wrong.append(message.text)

    def asked(request: Request) -> None:
        if urlsplit(request.url).hostname not in {"127.0.0.1", "localhost", None}:
            wrong.append(f"a request left the host: {request.url}")

    def opened(**options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]  # the options are the caller's
        context.set_default_timeout(SLOW)
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", asked)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong, wrong


@pytest.fixture(scope="session")
def shop(server: Server) -> Shop:
    """The shop that has been open for two months, made once."""
    return open_shop(new_tenant(server))
