"""`rollcall trace`: what became of a change, from the request to the mail."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import typer

from rollcall.control import members
from rollcall.control.dead_letters import parse_since
from rollcall.control.deployment import Deployment
from rollcall.control.settings import OperatorSettings
from rollcall.control.tenancy_log import find_organisation
from rollcall.control.trace import traces
from rollcall.control.trace.find import CHANGES, SCAN_RECORDS, Tracer
from rollcall.control.trace.traces import Trace, TracedMail, TracedOutcome, Traces
from rollcall.control.words import counted
from rollcall.events.envelope import format_time
from rollcall.runtime.ids import parse_id
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.owner import open_deployment
from rollcall_operator.progress_bar import Bar
from rollcall_operator.terminal import CommandError

MOST_PEOPLE: Final = 20
"""How many members of one name are traced at most; with more the caller has to choose."""


def register(app: typer.Typer) -> None:
    """Add `trace` to the command line."""
    app.command("trace")(run)


def run(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="EVENT_ID | MEMBER | ORG MEMBER",
            help="Id of a request (`Rollcall-Request-Id` in its answer, `request_id` in logs); "
            "or a member in any organisation, by userName or e-mail address; or an organisation, "
            "and the member by any of these or by its id, or a group by its id.",
        ),
    ],
    since: Annotated[
        str | None,
        typer.Option("--since", help="Read the log from this date or time on, for all copies."),
    ] = None,
    copies: Annotated[
        bool, typer.Option("--copies", help="Read the log for other copies of a decided event.")
    ] = False,
    last: Annotated[
        int,
        typer.Option("--last", min=1, max=1000, help="Show at most this many changes of a member."),
    ] = CHANGES,
    scan: Annotated[
        int, typer.Option("--scan", min=1, help="Read at most this many records of a partition.")
    ] = SCAN_RECORDS,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show records, decision, outcomes and mails of a change; ids only, no personal data."""
    if len(words) > 2:
        terminal.fail("name an EVENT_ID, or a member, or an organisation and its member", 2)
    asked = _Asked(words, since, copies, last, scan)
    found = terminal.run(asked.find(find(data)))
    if as_json:
        terminal.print_json(traces.to_json(found))
        return
    for each in found.traces:
        show(each)
    if found.scan is not None:
        rest = "" if found.scan.is_complete else "; there is more that was not read"
        print(
            f"Read {counted(found.scan.records, 'record')} of the log, at most {found.limit:,} of "
            f"a partition{rest}."
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """The arguments: an event, a member of any organisation, or of one."""

    words: list[str]
    since: str | None
    copies: bool
    last: int
    scan: int

    async def find(self, settings: OperatorSettings) -> Traces:
        """Find it. Raises CommandError, Unavailable."""
        since = None if self.since is None else parse_since(self.since)
        *org, what = self.words
        event_id = parse_id(what)
        async with open_deployment(settings, "trace") as deployment:
            with Bar() as meter:
                tracer = Tracer(deployment, meter, self.scan)
                if event_id is None:
                    return await self._people(settings, deployment, tracer, since)
                if not org:
                    return await tracer.event(event_id, since, self.copies)
                organisation = await find_organisation(deployment.settings, org[0])
                return await tracer.member(organisation, event_id, since, self.last)

    async def _people(
        self,
        settings: OperatorSettings,
        deployment: Deployment,
        tracer: Tracer,
        since: datetime | None,
    ) -> Traces:
        """The changes of all members with that name or address, in all organisations."""
        *org, what = self.words
        known = await members.find(settings, deployment.database, what, org[0] if org else None)
        if len(known) > MOST_PEOPLE:
            raise CommandError(
                f"{len(known)} members are meant by {what!r}; name the organisation as well: "
                "`rollcall trace ORG MEMBER`"
            )
        found = [
            await tracer.member(each.organisation, each.id, since, self.last) for each in known
        ]
        return traces.together(found)


def show(found: Trace) -> None:
    """Print one trace for people, a line for each thing that happened."""
    of = f" by {found.actor}" if found.actor else ""
    print(f"{found.event_id}  {found.kind} of {found.resource or '-'}{of}: {found.result}")
    for record in found.records:
        gone = "" if record.is_in_log else " (no longer in the log)"
        at = format_time(record.append_time)
        print(f"  record    {record.name}  appended {at}  {record.result}{gone}")
    if found.decision is not None:
        row = found.decision.row
        why = f" {row.scim_type}" if row.scim_type else ""
        early = ", answered before it" if row.optimistic else ""
        print(
            f"  decision  {traces.result_of(found.decision)} ({row.status}{why}) "
            f"at {format_time(found.decision.recorded)}{early}"
        )
    if found.letter is not None:
        letter = found.letter
        print(
            f"  letter    {letter.name}  {letter.state}  {letter.error_class}, "
            f"{counted(letter.attempts, 'attempt')}, {letter.parked} parked behind it"
        )
    for later in found.later:
        print(
            f"  later     {traces.later_result(found.event_id, later)} by {later.row.id}  "
            f"{traces.kind_of(later.row.type)} at {format_time(later.recorded)}"
        )
    for outcome in found.outcomes:
        print(f"  outcome   {_outcome(outcome)}")
    for mail in found.mails:
        print(f"  mail      {_mail(mail)}")


def _outcome(outcome: TracedOutcome) -> str:
    about = f" ({outcome.attribute})" if outcome.attribute else ""
    if outcome.unknown_members:
        about += f" ({counted(outcome.unknown_members, 'unknown member')} left out)"
    if outcome.seen is not None:
        return (
            f"{outcome.fact}{about}  {outcome.seen.name} at {format_time(outcome.seen.append_time)}"
        )
    where = "announced, not found near its time" if outcome.is_announced else "not announced yet"
    return f"{outcome.fact}{about}  {where}"


def _mail(mail: TracedMail) -> str:
    row = mail.row
    if row is None:
        return f"{mail.kind}  not planned yet"
    if row.sent_at is not None:
        seen = f", told in {mail.seen.name}" if mail.seen else ", told" if row.announced else ""
        return f"{mail.kind}  sent at {format_time(row.sent_at)} as {row.message_id}{seen}"
    if row.state == "due":
        why = f" ({row.reason})" if row.reason else ""
        at = format_time(row.next_attempt_at)
        return f"{mail.kind}  due at {at} after {counted(row.attempts, 'attempt')}{why}"
    return f"{mail.kind}  {row.state}: {row.reason}"
