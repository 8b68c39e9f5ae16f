"""External mappings: what an entity here is called in another system (source: reference 2.12)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import Id, Value

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class ExternalMapping(Value, frozen=True, kw_only=True):
    """The entity `m3ter_id` of the type `m3ter_entity` is `external_id` in a table of another system.

    An external id stands for at most one entity of a type here (docs/decisions/0470-handover.md).
    """

    kind: ClassVar[str] = "externalmapping"
    filters: ClassVar[tuple[str, ...]] = (
        "m3ter_entity",
        "m3ter_id",
        "external_system",
        "external_table",
        "external_id",
        "integration_config_id",
    )

    m3ter_entity: Text = msgspec.field(name="m3terEntity")
    m3ter_id: Id = msgspec.field(name="m3terId")
    external_system: Text
    external_table: Text
    external_id: Text
    integration_config_id: Id | None = None

    @property
    def place(self) -> dict[str, tuple[str, ...]]:
        """What lists are filtered by to find all that stand for the same external id."""
        return {
            "m3ter_entity": (self.m3ter_entity,),
            "external_system": (self.external_system,),
            "external_table": (self.external_table,),
            "external_id": (self.external_id,),
        }

    def clash(self, others: Iterable[ExternalMapping]) -> str | None:
        """The entity that has this external id already, of those that stand at the same place."""
        return next((each.m3ter_id for each in others if each.m3ter_id != self.m3ter_id), None)
