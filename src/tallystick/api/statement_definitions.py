"""Statement definitions over HTTP."""

from __future__ import annotations

from tallystick.api.crud import Crud
from tallystick.control.statement_definitions import STATEMENT_DEFINITIONS

ROUTES = Crud(noun=STATEMENT_DEFINITIONS, path="/statementdefinitions", tag="Statement definitions").routes()
