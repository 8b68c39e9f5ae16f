"""Products over HTTP."""

from __future__ import annotations

from tallystick.api.crud import Crud
from tallystick.control.products import PRODUCTS

ROUTES = Crud(noun=PRODUCTS, path="/products", tag="Products", page_limit=200).routes()
