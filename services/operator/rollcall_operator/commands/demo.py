"""`rollcall demo`: two identity providers, joiners, leavers, an outage; then the count."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from rollcall.observability import output
from rollcall_local.demo import narrator
from rollcall_local.demo.own_stack import running_stack
from rollcall_local.demo.sizes import Sizes
from rollcall_local.stack.folder import Folder
from rollcall_local.stack.postgres import native as postgres_native
from rollcall_operator import terminal
from rollcall_operator.terminal import CommandError

_DEFAULT = Sizes()


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller chose."""

    data: Path
    must_stay: bool
    sizes: Sizes


@dataclass(slots=True)
class Verdict:
    """Whether every expectation held; None until all are known."""

    has_held: bool | None = None


def register(app: typer.Typer) -> None:
    """Add `demo` to the command line."""
    app.command("demo")(demo)


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            envvar="ROLLCALL_DATA",
            help="Folder of the stack; one that runs there is used and left running. "
            "Default: the current folder with --stay, a temporary one without.",
        ),
    ] = None,
    stay: Annotated[
        bool, typer.Option("--stay/--no-stay", help="Keep the stack up after the demo.")
    ] = False,
    joiners: Annotated[int, typer.Option(min=1, max=90_000)] = _DEFAULT.joiners,
    leavers: Annotated[int, typer.Option(min=0, max=90_000)] = _DEFAULT.leavers,
    absorbed: Annotated[
        int, typer.Option(min=8, max=9_000, help="Joiners with the provisioner stopped.")
    ] = _DEFAULT.absorbed,
    connections: Annotated[int, typer.Option(min=1, max=200)] = _DEFAULT.connections,
) -> None:
    """Show what Rollcall does; exit status 0 only if every expectation held."""
    output.survive(patience_s=output.PATIENCE_S)
    if os.environ.get("ROLLCALL_SMTP_HOST"):
        terminal.fail("ROLLCALL_SMTP_HOST is set; the demo mails only into its own mailbox", 2)
    sizes = Sizes(joiners, min(leavers, joiners), absorbed, connections)
    is_temporary = data is None and not stay
    folder = Path(tempfile.mkdtemp(prefix="rollcall-demo-")) if is_temporary else data
    options = Options((folder or Path()).resolve(), stay, sizes)
    must_keep = True
    try:
        has_held = terminal.run(_demo(options))
        must_keep = not has_held
    except typer.Exit as interrupted:
        must_keep = interrupted.exit_code != terminal.INTERRUPTED
        raise
    finally:
        if is_temporary:
            _clean(options.data, keep=must_keep)
    raise typer.Exit(0 if has_held else 1)


async def _demo(options: Options) -> bool:
    """Whether all held. A signal ends it: while the stack stays up that is the normal end.

    So does a closed pipe (`make run | head`): no one reads the output any more.
    """
    verdict = Verdict()
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, asked.set)
    output.survive(on_gone=lambda: loop.call_soon_threadsafe(asked.set))
    work = asyncio.create_task(_on_stack(options, verdict))
    asking = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({work, asking}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        work.cancel()
        asking.cancel()
        await asyncio.wait({work, asking})
        output.survive(on_gone=lambda: None)
    if not work.cancelled():
        work.result()
    if verdict.has_held is None:
        raise CommandError("interrupted", exit_code=terminal.INTERRUPTED)
    return verdict.has_held


async def _on_stack(options: Options, verdict: Verdict) -> None:
    # The demo's libraries take a while to import: long enough to do it while Kafka starts.
    loading = asyncio.create_task(asyncio.to_thread(_load))
    async with running_stack(options.data) as stack:
        perform = await loading
        goes_on = options.must_stay or not stack.is_ours
        work = asyncio.ensure_future(
            perform(options.data, stack.file, options.sizes, terminal.print_table, goes_on=goes_on)
        )
        both: set[asyncio.Future[Any]] = {work, stack.ended}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise CommandError("the stack ended during the demo", exit_code=1)
            verdict.has_held = work.result()
        finally:
            work.cancel()
            await asyncio.wait({work})
        if options.must_stay and stack.is_ours:
            narrator.say("\nThe stack stays up. Ctrl-C stops it; its data is kept.")
            if await asyncio.shield(stack.ended) != 0:
                raise CommandError("the stack ended", exit_code=1)


def _load() -> Callable[..., Coroutine[Any, Any, bool]]:
    from rollcall_local.demo.perform import perform

    return perform


def _clean(data: Path, *, keep: bool) -> None:
    """Remove a temporary folder, unless it is needed to find out what went wrong."""
    if keep and Folder(data).root.exists():
        narrator.say(f"Logs and data are kept in {Folder(data).root}.")
        return
    postgres_native.remove(Folder(data).root / "postgres")
    shutil.rmtree(data, ignore_errors=True)
