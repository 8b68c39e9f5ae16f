"""The words of messages where an organisation has none of its own, and samples to look at them with."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.core.email import EmailTemplate, MessageKind

SAMPLES: Mapping[MessageKind, Mapping[str, object]] = {
    MessageKind.BILL: {
        "seller": "Your company",
        "account": {"name": "Sample & Sons", "code": "sample"},
        "bill": {
            "number": "INV-1001",
            "total": "$1,234.50",
            "currency": "USD",
            "start": "1 March 2026",
            "end": "31 March 2026",
            "due": "30 April 2026",
        },
        "unsubscribe": "https://billing.example/unsubscribe/sample",
    },
    MessageKind.ALERT: {
        "seller": "Your company",
        "account": {"name": "Sample & Sons", "code": "sample"},
        "alert": {
            "name": "Monthly budget",
            "type": "SPEND_ABOVE",
            "threshold": "1,000",
            "value": "1,012.5",
            "unit": "USD",
        },
        "unsubscribe": "https://billing.example/unsubscribe/sample",
    },
    MessageKind.EVENT: {
        "seller": "Your company",
        "event": {
            "name": "webhook.disabled",
            "time": "1 March 2026",
            "fields": ({"name": "name", "value": "Ledger"}, {"name": "reason", "value": "the receiver answered 410"}),
        },
        "unsubscribe": "https://billing.example/unsubscribe/sample",
    },
}

_FOOT = "{% if unsubscribe %}\n\n--\nNo more messages of this kind: {{ unsubscribe }}{% endif %}\n"
_FOOT_DE = "{% if unsubscribe %}\n\n--\nKeine Nachrichten dieser Art mehr: {{ unsubscribe }}{% endif %}\n"

STANDARD: tuple[EmailTemplate, ...] = (
    EmailTemplate(
        message_kind=MessageKind.BILL,
        language="en",
        subject="Invoice {{ bill.number }} from {{ seller }}: {{ bill.total }}",
        text=(
            "Dear {{ account.name }},\n\n"
            "attached is invoice {{ bill.number }} for {{ bill.start }} to {{ bill.end }}.\n\n"
            "Total: {{ bill.total }}\nDue: {{ bill.due }}\n\n{{ seller }}" + _FOOT
        ),
    ),
    EmailTemplate(
        message_kind=MessageKind.BILL,
        language="de",
        subject="Rechnung {{ bill.number }} von {{ seller }}: {{ bill.total }}",
        text=(
            "Guten Tag {{ account.name }},\n\n"
            "anbei die Rechnung {{ bill.number }} für {{ bill.start }} bis {{ bill.end }}.\n\n"
            "Betrag: {{ bill.total }}\nFällig: {{ bill.due }}\n\n{{ seller }}" + _FOOT_DE
        ),
    ),
    EmailTemplate(
        message_kind=MessageKind.ALERT,
        language="en",
        subject="{{ account.name }}: {{ alert.name }} has reached {{ alert.threshold }} {{ alert.unit }}",
        text=(
            "The alert {{ alert.name }} of {{ account.name }} was set to {{ alert.threshold }} {{ alert.unit }}.\n"
            "It stands at {{ alert.value }} {{ alert.unit }} now.\n\n{{ seller }}" + _FOOT
        ),
    ),
    EmailTemplate(
        message_kind=MessageKind.ALERT,
        language="de",
        subject="{{ account.name }}: {{ alert.name }} hat {{ alert.threshold }} {{ alert.unit }} erreicht",
        text=(
            "Die Meldung {{ alert.name }} für {{ account.name }} gilt ab {{ alert.threshold }} {{ alert.unit }}.\n"
            "Der Stand ist jetzt {{ alert.value }} {{ alert.unit }}.\n\n{{ seller }}" + _FOOT_DE
        ),
    ),
    EmailTemplate(
        message_kind=MessageKind.EVENT,
        language="en",
        subject="{{ event.name }}",
        text=(
            "{{ event.name }}, {{ event.time }}\n\n"
            "{% for field in event.fields %}{{ field.name }}: {{ field.value }}\n{% endfor %}" + _FOOT
        ),
    ),
)
