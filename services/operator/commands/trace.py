"""`rollcall trace`: what became of a change, from the door to the mail."""

from dataclasses import dataclass
from typing import Annotated

import typer

from services.operator import terminal, trace
from services.operator.dead_letters import parse_since
from services.operator.deployment import HERE, DataOption, JsonOption, OperatorSettings, find
from services.operator.rebuild import places
from services.operator.rebuild.meter import Meter
from services.operator.replay.bounds import organisation_of
from services.operator.terminal import CommandError
from services.operator.trace import Found, Mail, Told, Trace
from services.operator.trace_find import CHANGES, SCAN_RECORDS, Tracer
from shared.events.envelope import format_time
from shared.runtime.ids import parse_id


def register(app: typer.Typer) -> None:
    """Add `trace` to the command line."""
    app.command("trace")(run)


def run(
    event: Annotated[
        str | None,
        typer.Argument(metavar="EVENT_ID", help="Id of a request: in logs, audit, Message-ID."),
    ] = None,
    org: Annotated[
        str | None, typer.Option("--org", help="With --member: the organisation.")
    ] = None,
    member: Annotated[
        str | None, typer.Option("--member", metavar="ID", help="Changes of this user or group.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Read the log from this date or time on, for all copies."),
    ] = None,
    copies: Annotated[
        bool, typer.Option("--copies", help="Read the log for other copies of a decided event.")
    ] = False,
    last: Annotated[
        int, typer.Option("--last", min=1, max=1000, help="At most so many changes of a member.")
    ] = CHANGES,
    scan: Annotated[
        int, typer.Option("--scan", min=1, help="Read so many records of a partition at most.")
    ] = SCAN_RECORDS,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show records, decision, outcomes and mails of a change; ids only, no personal data."""
    if (event is None) == (member is None) or (member is None) != (org is None):
        terminal.fail("name an EVENT_ID, or --org and --member", 2)
    asked = _Asked(event, org, member, since, copies, last, scan)
    found = terminal.run(asked.find(find(data)))
    if as_json:
        terminal.print_json(trace.to_json(found))
        return
    for each in found.traces:
        show(each)
    if found.scan is not None:
        rest = "" if found.scan.is_complete else "; there is more that was not read"
        print(
            f"Read {found.scan.records:,} records of the log, at most {found.limit:,} of a "
            f"partition{rest}."
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for: an event, or a member of an organisation."""

    event: str | None
    org: str | None
    member: str | None
    since: str | None
    copies: bool
    last: int
    scan: int

    async def find(self, settings: OperatorSettings) -> Found:
        """Find it. Raises CommandError, Unavailable."""
        since = None if self.since is None else parse_since(self.since)
        async with places.open_world(settings, "trace") as world:
            with Meter() as meter:
                tracer = Tracer(world, meter, self.scan)
                if self.event is not None:
                    return await tracer.event(_id(self.event), since, self.copies)
                organisation = await organisation_of(world, self.org or "")
                return await tracer.member(organisation, _id(self.member or ""), since, self.last)


def _id(text: str) -> str:
    found = parse_id(text)
    if found is None:
        raise CommandError("an id is a UUID, as logs and `rollcall refused list` show it")
    return found


def show(found: Trace) -> None:
    """Print one trace for people, a line for each thing that happened."""
    of = f" by {found.actor}" if found.actor else ""
    print(f"{found.event_id}  {found.kind} of {found.resource or '-'}{of}: {found.fate}")
    for record in found.records:
        gone = "" if record.is_in_log else " (no longer in the log)"
        at = format_time(record.append_time)
        print(f"  record    {record.name}  appended {at}  {record.fate}{gone}")
    if found.decision is not None:
        row = found.decision.row
        why = f" {row.scim_type}" if row.scim_type else ""
        early = ", answered before it" if row.optimistic else ""
        print(
            f"  decision  {trace.fate_of(found.decision)} ({row.status}{why}) "
            f"at {format_time(found.decision.recorded)}{early}"
        )
    if found.letter is not None:
        letter = found.letter
        print(
            f"  letter    {letter.name}  {letter.state}  {letter.error_class}, "
            f"{letter.attempts} attempts, {letter.parked} parked behind it"
        )
    for later in found.later:
        print(
            f"  later     {trace.later_fate(found.event_id, later)} by {later.row.id}  "
            f"{trace.kind_of(later.row.type)} at {format_time(later.recorded)}"
        )
    for told in found.outcomes:
        print(f"  outcome   {_outcome(told)}")
    for mail in found.mails:
        print(f"  mail      {_mail(mail)}")


def _outcome(told: Told) -> str:
    about = f" ({told.attribute})" if told.attribute else ""
    if told.seen is not None:
        return f"{told.fact}{about}  {told.seen.name} at {format_time(told.seen.append_time)}"
    where = "announced, not found near its time" if told.is_announced else "not announced yet"
    return f"{told.fact}{about}  {where}"


def _mail(mail: Mail) -> str:
    row = mail.row
    if row is None:
        return f"{mail.kind}  not planned yet"
    if row.sent_at is not None:
        told = f", told in {mail.seen.name}" if mail.seen else ", told" if row.told else ""
        return f"{mail.kind}  sent at {format_time(row.sent_at)} as {row.message_id}{told}"
    if row.state == "due":
        why = f" ({row.reason})" if row.reason else ""
        at = format_time(row.next_attempt_at)
        return f"{mail.kind}  due at {at} after {row.attempts} attempts{why}"
    return f"{mail.kind}  {row.state}: {row.reason}"
