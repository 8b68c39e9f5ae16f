"""People at the console of one organisation: on the server that all tests share, signed in once for each role."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from visitor import Visitor, signed_in

from tallystick.cli.launch import Server
from tallystick.core.user import Role
from tenant import Tenant, new_tenant


@pytest.fixture
def admin(organization: Tenant) -> Visitor:
    """An administrator of `organization`, signed in; `http` and `client` speak to the same organisation."""
    return signed_in(organization)


@pytest.fixture(scope="session")
def company(server: Server) -> Tenant:
    """An organisation for tests that only look at pages."""
    return new_tenant(server)


@pytest.fixture(scope="session")
def people(company: Tenant) -> Mapping[Role, Visitor]:
    """A user of each role, signed in."""
    return {role: signed_in(company, role) for role in Role}
