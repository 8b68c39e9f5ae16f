"""Credit and debit line items of bills over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from tallystick.api.crud import PAGING, Reply, desk_of
from tallystick.api.routing import Call, Envelope, Paged, Route, entity_reply, page_reply
from tallystick.control import bill_memos
from tallystick.control.desk import rule_broken
from tallystick.core.bill import LineItemType
from tallystick.core.entity import Entity, Id, Value
from tallystick.core.memo import BillMemo, MemoType, require_memo
from tallystick.core.period import Instant
from tallystick.pipeline.memo import apply_memos

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class CreditLineItemRequest(Value, frozen=True, kw_only=True):
    """A credit for a bill. `reasonId` is another name of `creditReasonId`."""

    product_id: Id
    accounting_product_id: Id
    amount: Decimal
    amount_to_apply_on_bill: Decimal | None = None
    description: Text
    referenced_bill_id: Id
    referenced_line_item_id: Id
    service_period_start_date: Instant
    service_period_end_date: Instant
    line_item_type: LineItemType | None = None
    reason_id: Id | None = None
    credit_reason_id: Id | None = None
    version: int | None = None

    def check(self) -> None:
        require_memo(
            self.amount, self.amount_to_apply_on_bill, self.service_period_start_date, self.service_period_end_date
        )


class DebitLineItemRequest(Value, frozen=True, kw_only=True):
    """A debit for a bill. `reasonId` is another name of `debitReasonId`."""

    product_id: Id
    accounting_product_id: Id
    amount: Decimal
    amount_to_apply_on_bill: Decimal | None = None
    description: Text
    referenced_bill_id: Id
    referenced_line_item_id: Id
    service_period_start_date: Instant
    service_period_end_date: Instant
    line_item_type: LineItemType | None = None
    reason_id: Id | None = None
    debit_reason_id: Id | None = None
    version: int | None = None

    def check(self) -> None:
        require_memo(
            self.amount, self.amount_to_apply_on_bill, self.service_period_start_date, self.service_period_end_date
        )


def _applied(call: Call, memo: Entity[BillMemo]) -> Reply:
    """The reply to a change of a memo, once the bill shows it."""
    apply_memos(call.records, memo.value.bill_id, actor=call.actor, now=call.now)
    return entity_reply(memo)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """The five operations of one kind of memo."""

    of: MemoType
    path: str
    tag: str
    reason: str
    body: type[Value]

    def routes(self) -> tuple[Route, ...]:
        """Create, list, retrieve, replace and delete."""
        envelope, one, label = Envelope(BillMemo), self.path + "/{id}", bill_memos.label(self.of)
        verbs: tuple[tuple[str, str, Callable[..., object], str, str, type | None, object], ...] = (
            ("POST", self.path, self._create, f"Create a {label}", "config:create", self.body, envelope),
            ("GET", self.path, self._list, f"List every {label}", "config:retrieve", None, Paged(envelope)),
            ("GET", one, self._retrieve, f"Retrieve a {label}", "config:retrieve", None, envelope),
            ("PUT", one, self._update, f"Replace a {label}", "config:update", self.body, envelope),
            ("DELETE", one, self._delete, f"Delete a {label}", "config:delete", None, envelope),
        )
        return tuple(
            Route(
                method=method,
                path=path,
                run=run,
                summary=summary,
                tag=self.tag,
                scope=scope,
                body=body,
                reply=reply,
                query=PAGING if run == self._list else {},
            )
            for method, path, run, summary, scope, body, reply in verbs
        )

    def _create(self, call: Call, body: Any) -> Reply:
        return _applied(call, bill_memos.create(desk_of(call), self._value(call, body)))

    def _list(self, call: Call) -> Reply:
        found = bill_memos.find(call.records, call.path["billId"], self.of, call.query.page())
        return page_reply([entity_reply(each) for each in found.rows], found.next_token)

    def _retrieve(self, call: Call) -> Reply:
        return entity_reply(bill_memos.retrieve(call.records, call.path["billId"], self.of, call.path["id"]))

    def _update(self, call: Call, body: Any) -> Reply:
        value = self._value(call, body)
        return _applied(call, bill_memos.update(desk_of(call), call.path["id"], value, body.version))

    def _delete(self, call: Call) -> Reply:
        return _applied(call, bill_memos.delete(desk_of(call), call.path["billId"], self.of, call.path["id"]))

    def _value(self, call: Call, body: Any) -> BillMemo:
        if body.line_item_type not in {None, LineItemType(self.of.value)}:
            raise rule_broken("lineItemType", f"a {bill_memos.label(self.of)} is a {self.of}; leave lineItemType out")
        reason = getattr(body, self.reason)
        if None not in {reason, body.reason_id} and reason != body.reason_id:
            raise rule_broken("reasonId", "names another reason; give one of the two")
        taken = ("version", "line_item_type", "reason_id", self.reason)
        fields = {name: getattr(body, name) for name in body.__struct_fields__ if name not in taken}
        given = {self.reason: reason or body.reason_id, "bill_id": call.path["billId"], "line_item_type": self.of}
        return BillMemo(**fields, **given)


ROUTES = (
    *_Kind(
        of=MemoType.CREDIT_MEMO,
        path="/bills/{billId}/creditlineitems",
        tag="Credit line items",
        reason="credit_reason_id",
        body=CreditLineItemRequest,
    ).routes(),
    *_Kind(
        of=MemoType.DEBIT_MEMO,
        path="/bills/{billId}/debitlineitems",
        tag="Debit line items",
        reason="debit_reason_id",
        body=DebitLineItemRequest,
    ).routes(),
)
