"""`rollcall verify`: whether the live directory is what its log says, under load as well."""

from typing import Annotated

import typer

from rollcall.control.rebuild import verify
from rollcall.control.rebuild.verify import Verified
from rollcall.control.settings import OperatorSettings
from rollcall.control.words import counted
from rollcall.postgres.upkeep.scratch import Difference
from rollcall_operator import terminal
from rollcall_operator.commands.rebuild import FromOption
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.exits import Exit
from rollcall_operator.owner import open_deployment
from rollcall_operator.progress_bar import Bar


def register(app: typer.Typer) -> None:
    """Add `verify` to the command line."""
    app.command("verify")(run)


def run(
    snapshot: FromOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be read; fold and compare nothing.")
    ] = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Fold the log beside the directory and compare every row; exit status 1 is drift."""
    verified = terminal.run(_verify(find(data), snapshot, dry_run=dry_run))
    if as_json:
        terminal.print_json({**verified.to_json(), "dry_run": dry_run})
    elif dry_run:
        print(
            f"{counted(verified.events, 'event')} of "
            f"{counted(len(verified.positions), 'partition')} would be folded and compared."
        )
    else:
        for drift in verified.drifts:
            print(describe(drift))
        print(
            f"{counted(len(verified.drifts), 'drift') if verified.drifts else 'No drifts'}; "
            f"{counted(verified.events, 'event')} folded in {verified.taken_s:.1f} s."
        )
    if verified.drifts:
        raise typer.Exit(Exit.NO)


def describe(drift: Difference) -> str:
    """One line: table, key, and which columns differ; never their values."""
    key = ", ".join(f"{name}={value}" for name, value in drift.key.items())
    match drift.kind:
        case "missing":
            what = "is missing: the log has it"
        case "extra":
            what = "is too much: the log has it not"
        case _:
            what = f"differs in {', '.join(drift.columns)}"
    return f"{drift.table} ({key}) {what}"


async def _verify(settings: OperatorSettings, snapshot: FromOption, *, dry_run: bool) -> Verified:
    async with open_deployment(settings, "verify") as deployment:
        with Bar() as meter:
            work = verify.would_read if dry_run else verify.verify
            return await work(deployment, snapshot, meter)
