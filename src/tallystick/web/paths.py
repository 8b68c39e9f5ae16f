"""The paths of the server, as Litestar wants them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response
from litestar.types import Empty

Handle = Callable[[Request[Any, Any, Any]], Awaitable[Response[Any]]]

_NAME = re.compile(r"\{[^}]*\}")
_ASKED = "OPTIONS"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers a method at a path, with `{name}` for what varies. `most` is the limit of the body in bytes; None:
    as for every request."""

    method: str
    path: str
    handle: Handle
    most: int | None = None


def handlers(endpoints: Iterable[Endpoint]) -> list[HTTPRouteHandler]:
    """One Litestar handler for all paths that have the same methods and limit, which then finds who answers.

    Litestar takes a millisecond or two for each handler that it gets, and for each goes through all that it has: with
    a handler for every method of every path that was most of the time that a server took to start.
    """
    answering: dict[str, dict[str, Handle]] = {}  # by path with its names, who answers each method
    alike: dict[str, dict[str, Handle]] = {}  # by path without: one place, whatever its names are
    shapes: dict[str, tuple[set[str], int | None]] = {}
    for each in endpoints:
        methods = answering.setdefault(each.path, alike.setdefault(_NAME.sub("{}", each.path), {}))
        assert each.method not in methods, f"{each.method} {each.path} is there twice"
        methods[each.method] = each.handle
        own, most = shapes.get(each.path, (set(), None))
        shapes[each.path] = own | {each.method}, most if each.most is None else max(each.most, most or 0)

    async def handle(request: Request[Any, Any, Any]) -> Response[Any]:
        methods = answering[request.scope["path_template"]]
        if request.method == _ASKED:
            return Response(None, status_code=204, headers={"allow": ", ".join(sorted({*methods, _ASKED}))})
        return await methods[request.method](request)

    groups: dict[tuple[tuple[str, ...], int | None], list[str]] = {}
    for path, (own, most) in shapes.items():
        groups.setdefault((tuple(sorted({*own, _ASKED})), most), []).append(path.replace("}", ":str}"))
    return [
        HTTPRouteHandler(
            paths,
            http_method=[HttpMethod(method) for method in names],
            status_code=200,
            request_max_body_size=Empty if most is None else most,
        )(handle)
        for (names, most), paths in groups.items()
    ]
