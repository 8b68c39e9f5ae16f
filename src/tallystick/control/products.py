"""Products: what is sold. Each contains meters, plan templates and plans."""

from __future__ import annotations

from tallystick.control.desk import Noun
from tallystick.core.catalog import Product

PRODUCTS = Noun(of=Product)
