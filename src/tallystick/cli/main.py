"""The `tallystick` program: its commands, and how a failure leaves it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import typer

from tallystick import __version__
from tallystick.cli import (
    account,
    accounting,
    audit,
    bill,
    bill_proofs,
    catalog,
    correction,
    crm,
    demo,
    doctor,
    entitlement,
    event,
    event_mapping,
    exceptions,
    explain,
    export,
    forecast,
    hold,
    identity,
    insight,
    integration,
    job,
    late,
    measurement,
    measurements,
    meter,
    org,
    payment,
    proof,
    quote,
    reconcile,
    rollout,
    scorecard,
    serve,
    settings_list,
    simulate,
    source,
    stripe,
    upkeep,
    usage,
    user,
    webhook,
)

app = typer.Typer(
    name="tallystick",
    help="Self-hosted metering, rating and billing: usage in, bills out, every line explained.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.add_typer(org.app, name="org")
app.add_typer(user.app, name="user")
app.command("import")(measurements.import_)
app.add_typer(source.app, name="source")
app.command("measurement")(measurement.measurement)
app.add_typer(account.app, name="account")
app.add_typer(identity.app, name="identity")
app.add_typer(event_mapping.app, name="event-mapping")
app.add_typer(event_mapping.sources, name="event-source")
app.command("usage")(usage.usage)
app.add_typer(bill.app, name="bill")
bill_proofs.add_to(bill.app)
app.add_typer(entitlement.app, name="entitlement")
app.command("forecast")(forecast.forecast)
app.add_typer(job.app, name="job")
app.add_typer(hold.app, name="hold")
app.add_typer(event.app, name="event")
app.add_typer(integration.app, name="integration")
app.add_typer(webhook.app, name="webhook")
app.add_typer(payment.app, name="payment")
app.add_typer(stripe.app, name="stripe")
app.command("late")(late.late)
app.add_typer(meter.app, name="meter")
app.command("anomalies")(hold.anomalies)
app.add_typer(correction.app, name="correction")
app.add_typer(audit.app, name="audit")
app.add_typer(reconcile.app, name="reconcile")
app.add_typer(rollout.app, name="rollout")
app.add_typer(proof.app, name="proof")
app.add_typer(exceptions.app, name="exceptions")
app.add_typer(exceptions.disputes, name="dispute")
app.add_typer(accounting.app, name="accounting")
app.add_typer(crm.app, name="crm")
app.add_typer(export.app, name="export")
app.add_typer(insight.app, name="insight")
app.command("simulate")(simulate.simulate)
app.add_typer(catalog.app, name="catalog")
app.command("explain")(explain.explain)
app.command("verify")(explain.verify)
app.command("quote")(quote.quote_command)
app.command("demo")(demo.demo)
app.command("rebuild")(upkeep.rebuild)
app.command("backup")(upkeep.backup)
app.command("restore")(upkeep.restore)
app.command("doctor")(doctor.doctor)
app.command("scorecard")(scorecard.scorecard)
app.command("settings")(settings_list.settings)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@cache
def program() -> Any:  # Typer does not publish the type of what it makes
    """The whole of the commands, made once: it takes longer than most of them then run in one process."""
    return typer.main.get_command(app)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; answers its exit code: 0 done, 1 failed, 2 called wrongly."""
    try:
        answer = program()(arguments, prog_name="tallystick", standalone_mode=False)
    except typer.TyperException as problem:
        sentence = problem.format_message()
        if sentence:
            print(f"error: {sentence}", file=sys.stderr)
        return problem.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output is gone: nothing is left to say
        return 1
    return answer if isinstance(answer, int) else 0


def main() -> None:
    """The console script."""
    sys.exit(run())
