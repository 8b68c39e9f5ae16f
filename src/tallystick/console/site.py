"""Every page of the console, noun by noun."""

from __future__ import annotations

from tallystick.console import (
    accounts,
    aggregations,
    audit,
    balances,
    bill,
    bill_files,
    bill_jobs,
    bill_line,
    bills,
    compounds,
    explorer,
    failed,
    home,
    invoice_pages,
    keys,
    meters,
    plans,
    playground,
    portal_desk,
    pricings,
    products,
    settings,
    sign_in,
    upload,
    users,
)
from tallystick.console.page import OpenPage, Page
from tallystick.console.portal import entry as portal

PAGES: tuple[Page, ...] = (
    *home.PAGES,
    *upload.PAGES,
    *meters.PAGES,
    *aggregations.PAGES,
    *compounds.PAGES,
    *explorer.PAGES,
    *accounts.PAGES,
    *balances.PAGES,
    *failed.PAGES,
    *plans.PAGES,
    *playground.PAGES,
    *pricings.PAGES,
    *products.PAGES,
    *audit.PAGES,
    *portal_desk.PAGES,
    *keys.PAGES,
    *settings.PAGES,
    *users.PAGES,
    *sign_in.PAGES,
    *bills.PAGES,
    *bill.PAGES,
    *bill_files.PAGES,
    *bill_line.PAGES,
    *bill_jobs.PAGES,
    *invoice_pages.PAGES,
)
OPEN_PAGES: tuple[OpenPage, ...] = (
    *sign_in.OPEN_PAGES,
    *portal.OPEN_PAGES,
)
