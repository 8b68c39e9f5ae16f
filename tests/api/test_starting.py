"""What a server does to start: it loads what it uses, and finds who answers at every path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Request
from litestar.response import Response

from tallystick.cli.launch import Server
from tallystick.web.paths import Endpoint, handlers

OPENED = """
import sys
from tallystick.api.server import Front
from tallystick.settings import read_settings
front = Front(read_settings(data=sys.argv[1]))
front.open()
front.close()
print(*sys.modules)
"""


def test_a_server_loads_no_library_that_it_does_not_use(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENED, str(tmp_path)]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert "pyarrow" in loaded
    assert "litestar" in loaded
    # Each is installed, and was found and loaded by a library that would know its values from others.
    assert {"pandas", "litestar.plugins.pydantic"}.isdisjoint(loaded)


async def _nobody(request: Request[Any, Any, Any]) -> Response[Any]:
    raise AssertionError


def test_a_method_of_a_path_has_one_that_answers() -> None:
    with pytest.raises(AssertionError, match=r"^GET /bills/\{billId\} is there twice$"):
        handlers([Endpoint("GET", "/bills/{id}", _nobody), Endpoint("GET", "/bills/{billId}", _nobody)])


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/health", "GET, OPTIONS"),
        ("/organizations/any/meters", "GET, OPTIONS, POST"),
        ("/organizations/any/meters/any", "DELETE, GET, OPTIONS, PUT"),
        ("/sign-in", "GET, OPTIONS, POST"),
        ("/static/any", "GET, OPTIONS"),
    ],
)
def test_each_path_says_its_methods_and_refuses_others(server: Server, path: str, methods: str) -> None:
    told, refused = httpx.options(server.url + path), httpx.patch(server.url + path)
    assert (told.status_code, refused.status_code, refused.json()["code"]) == (204, 405, "invalid_request")
    for reply in (told, refused):
        assert sorted(reply.headers["allow"].split(", ")) == methods.split(", ")
