"""People at a browser: who signs in as a user of a role, and goes on by mouse or by keyboard alone."""

from __future__ import annotations

from playwright.sync_api import Locator, Page
from visitor import PASSWORD, add_user

from tallystick.core.user import Role
from tenant import Tenant

MOST_TABS = 200


def sign_in(page: Page, tenant: Tenant, role: Role = Role.ADMIN) -> Page:
    """The same page, with home of a new user."""
    page.goto(f"{tenant.url}/sign-in")
    page.get_by_label("Email").fill(add_user(tenant, role)["email"])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Home").wait_for()
    return page


def click(page: Page, what: Locator) -> None:
    """With the mouse."""
    what.click()


def press(page: Page, what: Locator) -> None:
    """By Tab until it has the focus, and Enter."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if what.evaluate("(wanted) => wanted === document.activeElement"):
            break
    else:
        raise AssertionError(f"{what} is not reached by Tab")
    assert what.evaluate("(focused) => getComputedStyle(focused).outlineStyle !== 'none'"), "one sees where one is"
    with page.expect_navigation():
        page.keyboard.press("Enter")
