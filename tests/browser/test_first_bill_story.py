"""From the link of the first user to the first approved bill, by clicks alone: home names each next step."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from visitor import add_user

from tenant import Tenant

pytestmark = pytest.mark.browser
END = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)  # the last day of the month that is billed
START = END.replace(day=1)


def go_on(page: Page, step: str) -> None:
    """From wherever one is to home, and on to the step that it names. Usage and bills are there a moment later."""
    page.get_by_role("link", name="Home", exact=True).click()
    link = page.get_by_role("listitem").get_by_role("link", name=step, exact=True)
    for _ in range(100):
        if link.count():
            break
        page.wait_for_timeout(100)
        page.reload()
    link.click()


def fill(page: Page, **typed: str) -> None:
    """Type into fields by what their labels say, `_` for a space."""
    for label, text in typed.items():
        page.get_by_label(re.compile(f"^{label.replace('_', ' ')}", re.IGNORECASE)).first.fill(text)


def configure(page: Page) -> None:
    """What is sold, what is counted of it, and what it costs: 10 a month, 3 for the first 2 units and 2 above."""
    go_on(page, "Add a product")
    fill(page, Name="Storage", Code="storage")
    page.get_by_role("button", name="Add product").click()
    go_on(page, "Make a meter")
    fill(page, Name="Reads")
    page.get_by_label("Code", exact=True).fill("reads")
    page.get_by_label("Code, row 1").first.fill("calls")
    page.get_by_label("Name, row 1").first.fill("Calls")
    page.get_by_label("Unit, row 1").first.fill("{call}")
    page.get_by_role("button", name="Save").click()
    go_on(page, "Say what is counted")
    page.get_by_label("Name", exact=True).fill("Calls")
    page.get_by_label("One unit is").fill("1000")
    page.get_by_label("Unit", exact=True).fill("thousand calls")
    page.get_by_role("button", name="Save").click()
    go_on(page, "Make a plan template")
    page.get_by_label("Name", exact=True).fill("Monthly")
    page.get_by_label("Standing charge a period").fill("10")
    page.get_by_role("button", name="Add template").click()
    go_on(page, "Make a plan")
    fill(page, Name="Team", Code="team")
    page.get_by_role("button", name="Add plan").click()
    go_on(page, "Give the plan a price")
    for row, (above, each) in enumerate([("0", "3"), ("2", "2")], start=1):
        page.get_by_label(f"Band {row}: above how many units").fill(above)
        page.get_by_label(f"Band {row}: price a unit").fill(each)
    page.get_by_label("From").fill(START.isoformat())
    page.get_by_role("button", name="Add price").click()


def take_on_a_customer(page: Page) -> None:
    go_on(page, "Add an account")
    fill(page, Name="Nordwind", Code="nordwind", Email="bills@nordwind.example")
    page.get_by_role("button", name="Add").click()
    go_on(page, "Put the account on the plan")
    page.get_by_label("From").fill(START.isoformat())
    page.get_by_role("button", name="Put on this plan").click()


def bring_usage_in(page: Page, file: Path, day: date) -> None:
    """4,000 calls from a file that is chosen in the browser."""
    file.write_text(f"uid,account,ts,calls\na,nordwind,{day}T08:00:00Z,2500\nb,nordwind,{day}T23:59:59Z,1500\n")
    go_on(page, "Bring usage in")
    page.get_by_label("A CSV file").set_input_files(file)
    page.get_by_role("button", name="Count them").click()
    expect(page.locator(".figure", has_text="Accepted").locator("data")).to_have_attribute("data-value", "2")


def test_the_first_sign_in_leads_to_the_first_approved_bill(
    organization: Tenant, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    """10 for the month, 2 units at 3 and 2 units at 2: 20."""
    page = open_page(viewport={"width": 1280, "height": 900})
    page.goto(organization.url + add_user(organization, password=None)["link"])
    page.get_by_label("Password", exact=True).fill("a sentence is easy to remember")
    page.get_by_label("The same again").fill("a sentence is easy to remember")
    page.get_by_role("button", name="Set password and sign in").click()
    configure(page)
    take_on_a_customer(page)
    bring_usage_in(page, tmp_path / "usage.csv", END)
    go_on(page, "Run the bills")
    page.get_by_label("Last day of the billing period").fill(END.isoformat())
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="Bill run Complete")).to_be_visible()
    page.get_by_role("link", name="Show its bills").click()
    page.get_by_role("link", name="Nordwind").click()
    expect(page.locator(".figure", has_text="Total").locator("data")).to_have_attribute("data-value", "20")
    page.on("dialog", lambda asked: asked.accept())
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="Nordwind Approved")).to_be_visible()
    page.get_by_role("link", name="Home", exact=True).click()
    expect(page.get_by_role("heading", name="Getting started")).to_have_count(0)
