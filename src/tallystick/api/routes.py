"""Every route of the API, noun by noun."""

from __future__ import annotations

from tallystick.api import (
    account_plans,
    accounts,
    aggregations,
    bill_jobs,
    bill_proofs,
    bills,
    currencies,
    custom_fields,
    events,
    measurements,
    meters,
    organization_config,
    plan_templates,
    plans,
    pricings,
    products,
    service_users,
    usage,
)
from tallystick.api.upload import UPLOAD

ROUTES = (
    *organization_config.ROUTES,
    *currencies.ROUTES,
    *custom_fields.ROUTES,
    *products.ROUTES,
    *meters.ROUTES,
    *aggregations.ROUTES,
    *plan_templates.ROUTES,
    *plans.ROUTES,
    *pricings.ROUTES,
    *accounts.ROUTES,
    *account_plans.ROUTES,
    *service_users.ROUTES,
    *usage.ROUTES,
    *measurements.ROUTES,
    *events.ROUTES,
    *bill_jobs.ROUTES,
    *bill_proofs.ROUTES,
    *bills.ROUTES,
)
# What the published description shows: the routes, and the one way in that goes past them.
PUBLISHED = (UPLOAD, *ROUTES)
