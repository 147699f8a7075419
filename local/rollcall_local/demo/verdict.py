"""What the demo expects, and whether it held; the table that it ends with. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rollcall_local.demo.client import Tally
from rollcall_local.demo.maildir import Maildir
from rollcall_local.demo.observe import Member, Notice
from rollcall_local.demo.people import Person


@dataclass(slots=True)
class Phase:
    """A part of the demo and what it counted."""

    title: str
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation: its name, whether it held, and what was found where it did not."""

    name: str
    has_held: bool
    found: str = ""

    def __str__(self) -> str:
        return f"{'ok ' if self.has_held else 'NOT'}  {self.name}" + (
            "" if self.has_held or not self.found else f": {self.found}"
        )


@dataclass(frozen=True, slots=True)
class Crew:
    """The joiners and leavers of one organisation, as the demo knows them."""

    joiners: Sequence[Person]
    leavers: Sequence[Person]


def check_phases(phases: Sequence[Phase]) -> list[Check]:
    """Nothing failed anywhere."""
    return [
        Check(
            f"{phase.title}: none of {phase.tally.sent:,} requests failed",
            phase.tally.failed == 0,
            f"{phase.tally.failed:,} failed; " + "; ".join(phase.tally.failures),
        )
        for phase in phases
    ]


def check_directory(crew: Crew, members: Sequence[Member]) -> list[Check]:
    """Every joiner is there once, and exactly the leavers are revoked."""
    present = Counter(member.user_name for member in members)
    wanted = {person.address for person in crew.joiners}
    missing = wanted - present.keys()
    strangers = present.keys() - wanted
    repeated = [name for name, count in present.items() if count > 1]
    revoked = {member.user_name for member in members if member.status == "revoked"}
    leavers = {person.address for person in crew.leavers}
    return [
        Check(
            f"each of {len(wanted):,} joiners is in the directory once",
            not missing and not strangers and not repeated,
            f"{len(missing)} missing, {len(strangers)} strangers, {len(repeated)} repeated",
        ),
        Check(
            f"the {len(leavers):,} leavers are revoked, and nobody else",
            revoked == leavers,
            f"{len(revoked):,} are revoked, {len(leavers - revoked):,} of the leavers are not",
        ),
    ]


def check_mails(
    crew: Crew, crew_organisation: str, notices: Sequence[Notice], maildir: Maildir
) -> list[Check]:
    """Every due mail arrived once, and each joiner and leaver got theirs."""
    open_or_failed = Counter(each.state for each in notices if each.state in ("due", "failed"))
    arrived = maildir.copies()
    copies = Counter(arrived[each.normal_id] for each in notices if each.state == "sent")
    of_crew = [each for each in notices if each.organisation_id == crew_organisation]
    invited = _recipients(of_crew, "invitation", maildir)
    notified = _recipients(of_crew, "revocation", maildir)
    return [
        Check(
            "no mail is still due and none has failed",
            not open_or_failed,
            _counts(open_or_failed),
        ),
        Check(
            f"each of {copies.total():,} mails is in the mailbox once",
            set(copies) <= {1},
            ", ".join(f"{copies[times]:,} {times} times" for times in sorted(copies) if times != 1),
        ),
        _check_once("joiner", "invitation", crew.joiners, invited),
        _check_once("leaver", "revocation notice", crew.leavers, notified),
    ]


def mail_table(notices: Sequence[Notice]) -> Mapping[str, Counter[str]]:
    """Kind → state → count."""
    table: dict[str, Counter[str]] = {}
    for each in notices:
        table.setdefault(each.kind, Counter())[each.state] += 1
    return table


def phase_rows(phases: Sequence[Phase]) -> list[list[str]]:
    """The rows of the table of requests, with a sum."""
    total = Phase("all")
    for phase in phases:
        total.tally.add(phase.tally)
    return [
        [
            phase.title,
            f"{phase.tally.sent:,}",
            f"{phase.tally.answered:,}",
            f"{phase.tally.pending:,}",
            f"{phase.tally.failed:,}",
            _milliseconds(phase.tally.percentile_ms(50)),
            _milliseconds(phase.tally.percentile_ms(99)),
        ]
        for phase in (*phases, total)
    ]


def _check_once(who: str, what: str, people: Sequence[Person], arrived: Counter[str]) -> Check:
    wanted = Counter(person.address for person in people)
    missing, extra = wanted - arrived, arrived - wanted
    return Check(
        f"each of {len(people):,} {who}s got one {what}",
        arrived == wanted,
        f"{missing.total():,} missing, {extra.total():,} too many",
    )


def _recipients(notices: Sequence[Notice], kind: str, maildir: Maildir) -> Counter[str]:
    ids = {each.normal_id for each in notices if each.kind == kind and each.message_id}
    found: Counter[str] = Counter()
    for (message_id, recipient), count in maildir.deliveries.items():
        if message_id in ids:
            found[recipient] += count
    return found


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in counts.items())


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
