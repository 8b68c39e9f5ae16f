"""Every way a request or a measurement can be refused: a code, its family, and whether to try again.

A refusal is an expected failure and carries a code from `CODES`; anything else that goes wrong is a bug
and surfaces as an assertion. `docs/reference/errors.md` lists each code, and a test holds it to this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """What kind of failure this is; the API maps each family to one HTTP status."""

    INVALID = "invalid"  # 400: the request breaks a rule
    FORBIDDEN = "forbidden"  # 403: not signed in, not allowed, or too large a measurement request
    NOT_FOUND = "not_found"  # 404
    TOO_SLOW = "too_slow"  # 408: the body did not come in time; nothing was kept
    TOO_LARGE = "too_large"  # 413
    UNSUPPORTED = "unsupported"  # 415: a form of body that is not read here
    BUSY = "busy"  # 429 or 503 with Retry-After: nothing was kept, try again


@dataclass(frozen=True, slots=True)
class Code:
    """One error code: `name` is what clients match on, `hint` says what to do about it."""

    name: str
    family: Family
    hint: str
    retry: bool = False


def _table(*codes: Code) -> dict[str, Code]:
    return {code.name: code for code in codes}


CODES = _table(
    # Requests
    Code("invalid_request", Family.INVALID, "Correct the named field and send the request again."),
    Code("invalid_page", Family.INVALID, "Pass the nextToken of the previous page unchanged."),
    Code("version_mismatch", Family.INVALID, "Read the entity again and send its current version."),
    Code("code_in_use", Family.INVALID, "Choose another code, or update the entity that has it."),
    Code("unknown_reference", Family.INVALID, "Name an entity that exists in this organisation."),
    Code(
        "address_refused", Family.INVALID, "Name a public https address, or ask the operator to allow it by a setting."
    ),
    Code("in_use", Family.INVALID, "Delete or end-date what refers to it first."),
    Code("overlapping_plan", Family.INVALID, "End the other account plan first, or allow overlapping plans."),
    Code("rule_broken", Family.INVALID, "Change the named field so that the rule holds."),
    Code("catalog_changed", Family.INVALID, "Plan again and look at what has changed in between."),
    Code("approval_required", Family.INVALID, "Let another user approve the plan, then apply it."),
    Code("bill_locked", Family.INVALID, "A locked bill is final; correct it on the next bill."),
    Code("bill_held", Family.INVALID, "Look at what holds the bill, and release it with a reason."),
    Code("bill_waits", Family.INVALID, "Wait for the named moment, or change the late policy."),
    Code("bill_state", Family.INVALID, "Bring the bill into the named state first."),
    Code("correction_state", Family.INVALID, "Read the correction or memo again; what was decided of it stays."),
    Code("forbidden", Family.FORBIDDEN, "Ask for a token again, or use a service user with the scope."),
    Code("sign_in_failed", Family.FORBIDDEN, "Check email and password, or ask an administrator for a new link."),
    Code("too_many_attempts", Family.BUSY, "Wait a quarter of an hour, then try again.", retry=True),
    Code("not_found", Family.NOT_FOUND, "Check the id and the organisation."),
    Code(
        "payload_too_large",
        Family.FORBIDDEN,
        "Split the batch: at most 1,000 measurements and 512,000 bytes.",
    ),
    Code("request_too_large", Family.TOO_LARGE, "Send a smaller body."),
    Code("request_too_slow", Family.TOO_SLOW, "Send the whole body at once, over a faster connection."),
    Code("unsupported_encoding", Family.UNSUPPORTED, "Send the body as it is, or with gzip, deflate or zstd."),
    Code("busy", Family.BUSY, "Wait for the Retry-After seconds and send the same again.", retry=True),
    Code("missing_conversion_rate", Family.INVALID, "Add the rate to the organisation's currencyConversions."),
    Code("rounding_forbidden", Family.INVALID, "Give the currency more decimal places or another rounding mode."),
    Code("missing_rate", Family.INVALID, "Add a rate for these dimensions to the pricing, or a defaultUnitPrice."),
    Code("calculation_failed", Family.INVALID, "Change the formula so that it has a result for these values too."),
    Code("no_billing_period", Family.INVALID, "Name the last day of a billing period of the account's plans."),
    Code(
        "sealed_elsewhere", Family.INVALID, "Enter the secret again; keep the keys of a data directory with its data."
    ),
    Code("outside_failed", Family.INVALID, "Mend what the outside service says, or its key, and ask again."),
    Code("source_failed", Family.INVALID, "Mend the source, or how it is named, and start another run."),
    Code(
        "reconciliation_required",
        Family.INVALID,
        "Run the reconciliation for these days again until it passes, or lift the organisation's billRequires.",
    ),
    Code("job_failed", Family.INVALID, "Mend the cause, which the server's log tells in full, and start another job."),
    # Measurements: a verdict of one member, never of the batch
    Code("undefined_meter", Family.INVALID, "Create the meter, or correct its code, then replay."),
    Code("missing_field", Family.INVALID, "Send every field that the meter declares."),
    Code("wrong_category", Family.INVALID, "Put the value into the map of the field's category."),
    Code("duplicate_field", Family.INVALID, "Send each field code in one category only."),
    Code("invalid_number", Family.INVALID, "Send a finite number below 10^20."),
    Code("invalid_text", Family.INVALID, "Send a string within the length the field allows."),
    Code("invalid_timestamp", Family.INVALID, "Send an ISO 8601 date and time between 1970 and 2262."),
    Code(
        "timestamp_in_future",
        Family.INVALID,
        "Send it when it has happened, or raise the organisation's tolerance.",
    ),
    Code("invalid_account", Family.INVALID, "Use the account's code exactly as it was created."),
    Code("unknown_account", Family.INVALID, "Create the account, then replay the measurement."),
    Code("uid_required", Family.INVALID, "Give every measurement a uid: this organisation requires one."),
    Code("unmapped_identity", Family.INVALID, "Say which account has the identity; nothing need be sent again."),
    Code("invalid_event", Family.INVALID, "Send what the form asks of every event, such as its id and its type."),
    Code("unmapped_event", Family.INVALID, "Make an event mapping that wants the event, then replay it."),
    Code("unmapped_field", Family.INVALID, "Correct the event mapping, or the event, then replay it."),
    Code("invalid_measurement", Family.INVALID, "Send an object with account, meter, ts and the field maps."),
)


class Refusal(Exception):
    """An expected failure of a whole request. `field` is the wire name of the field at fault, if one is."""

    def __init__(self, code: str, message: str, *, field: str | None = None) -> None:
        assert code in CODES, f"unregistered error code {code}"
        super().__init__(message)
        self.code = CODES[code]
        self.message = message
        self.field = field


# What goes wrong in the calculation or in what is stored, unlike what a store or its disk answers.
OWN_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    Refusal,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """An expected failure of one member of a batch, as a value: the batch goes on without it."""

    code: str
    reason: str
    field: str | None = None

    def __post_init__(self) -> None:
        assert self.code in CODES, f"unregistered error code {self.code}"
