"""Pick-lists: bill grouping keys, credit and debit reasons, transaction types (source: reference 2.9, 3.8)."""

from __future__ import annotations

from tallystick.control.desk import Noun
from tallystick.core.picklists import BillGroupingKey, CreditReason, DebitReason, TransactionType

BILL_GROUPING_KEYS = Noun(of=BillGroupingKey)
CREDIT_REASONS = Noun(of=CreditReason)
DEBIT_REASONS = Noun(of=DebitReason)
TRANSACTION_TYPES = Noun(of=TransactionType)
