"""Dead letters: find them, redrive or discard them, and wait for the result.

A redrive is an event in the organisation's own partition, like every change: the provisioner
applies the dead event and all that is parked behind it in one step. What is published twice is
done once, so every command may be run again.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, get_args

from rollcall.control.before_event import find_unapplied, why_not_applied
from rollcall.control.errors import NotPossible
from rollcall.control.publish import decided, publish
from rollcall.control.tenancy_log import NotThere, read_tenancy
from rollcall.events.bodies import AboutDead, Discard, Redrive
from rollcall.events.request import Endpoint, Request
from rollcall.postgres import dead_letter
from rollcall.postgres.audit import AuditRow
from rollcall.postgres.dead_letter import ALL_STATES, DeadLetterSummary, State
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall.runtime.config import Settings
from rollcall.runtime.ids import new_id

Action = Literal["redrive", "discard"]
Result = Literal[
    "redriven",
    "discarded",
    "failed",
    "stopped",
    "already",
    "pending",
    "impossible",
    "stands",
    "would be",
]
BAD: Final[frozenset[Result]] = frozenset({"failed", "stopped", "pending", "impossible", "stands"})
BODIES: Final[Mapping[Action, type[AboutDead]]] = {"redrive": Redrive, "discard": Discard}
ENDPOINTS: Final[Mapping[str, Endpoint]] = {each: each for each in get_args(Endpoint)}
LETTER_NAME: Final = re.compile(r"[^/]+/\d+/\d+")
MOST_LETTERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters: by id or name, and by what they are; all of what is given must hold."""

    names: tuple[str, ...] = ()
    org: str | None = None
    since: datetime | None = None
    error_class: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The result for one letter; `note` is a sentence for people."""

    letter: DeadLetterSummary
    result: Result
    note: str


def parse_since(text: str) -> datetime:
    """A date (00:00 UTC) or a time; one without an offset is UTC. Raises NotPossible."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise NotPossible(
            f"{text!r} is not a date; write 2027-01-31 or 2027-01-31T18:00:00+01:00"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


async def selection_of(
    database: Database, words: Sequence[str], since: datetime | None, error_class: str | None
) -> Selection:
    """The selection that some words mean: letters, by id or name, or else one organisation.

    Ids are unique among both. A word that no letter has is taken for an organisation only where it
    is the only word: several words are letters.
    """
    if len(words) == 1:
        async with database.connection() as connection:
            found = await dead_letter.find(
                connection, states=ALL_STATES, names=words, limit=MOST_LETTERS
            )
        if not found and not LETTER_NAME.fullmatch(words[0]):
            return Selection((), words[0], since, error_class)
    return Selection(tuple(words), None, since, error_class)


async def select(
    settings: Settings,
    database: Database,
    selection: Selection,
    states: Sequence[State] = ("dead",),
) -> list[DeadLetterSummary]:
    """The letters, oldest first; those given by name whatever their state.

    Raises NotPossible for a name that no letter has and an unknown organisation, Unavailable.
    """
    organisation_id = await organisation_id_of(settings, selection)
    async with database.connection() as connection:
        found = await dead_letter.find(
            connection,
            states=ALL_STATES if selection.names else states,
            organisation_id=organisation_id,
            since=selection.since,
            error_class=selection.error_class,
            names=selection.names or None,
            limit=MOST_LETTERS,
        )
    known = {name for letter in found for name in (letter.name, letter.id)}
    for name in selection.names:
        if name not in known:
            raise NotPossible(f"no dead letter {name}", hint="list dead letters")
    return found


async def organisation_id_of(settings: Settings, selection: Selection) -> str | None:
    """The id of the organisation that is asked for; None: none is. Raises NotThere, Unavailable."""
    if selection.org is None:
        return None
    tenancy = await read_tenancy(settings)
    try:
        return tenancy.organisation(selection.org).id
    except NotThere as error:
        raise NotThere(
            f"no dead letter and no organisation {selection.org!r}",
            hint="list dead letters and organisations",
        ) from error


async def close(
    settings: Settings,
    database: Database,
    letters: Sequence[DeadLetterSummary],
    action: Action,
    *,
    dry_run: bool = False,
    by: str = "operator",
) -> list[Done]:
    """Redrive or discard the letters, and wait for what becomes of each. Raises Unavailable.

    No event is written for a letter whose partition is halted or paused, or for which one is in the
    log and not applied yet.
    """
    done: dict[tuple[str, int], Done] = {}
    asked: dict[str, DeadLetterSummary] = {}
    fresh: dict[str, DeadLetterSummary] = {}
    for letter in letters:
        if letter.state != "dead":
            done[_key(letter)] = Done(letter, "already", f"it is {letter.state} already")
        elif letter.resource_id is None and not dry_run:
            done[_key(letter)] = await _close_alone(database, letter, action)
        elif letter.resource_id is None:
            done[_key(letter)] = Done(letter, "would be", "it is about no resource")
        elif why := await why_not_applied(database, letter.topic, letter.partition):
            done[_key(letter)] = Done(letter, "stands", f"{why}; nothing was written")
        elif dry_run:
            done[_key(letter)] = Done(letter, "would be", "dry run")
        elif (earlier := await _earlier(settings, database, letter)) is None:
            fresh[new_id()] = letter
        elif isinstance(earlier.body, BODIES[action]):
            asked[earlier.id] = letter
        else:
            note = f"{earlier.kind} of it, {earlier.id}, is not applied yet; nothing was written"
            done[_key(letter)] = Done(letter, "pending", note)
    if fresh:
        await publish(settings, [_asking(each, fresh[each], action, by) for each in fresh])
    asked |= fresh
    if asked:
        rows = await decided(database, asked)
        for request_id, letter in asked.items():
            done[_key(letter)] = _judge(letter, rows.get(request_id), action)
    return [done[_key(letter)] for letter in letters]


async def _earlier(
    settings: Settings, database: Database, letter: DeadLetterSummary
) -> Request | None:
    """A redrive or discard of the letter that is in the log and not applied yet."""
    return await find_unapplied(
        settings,
        database,
        letter.topic,
        letter.partition,
        lambda request: isinstance(request.body, AboutDead) and request.body.dead_id == letter.id,
    )


def _key(letter: DeadLetterSummary) -> tuple[str, int]:
    return letter.name, letter.epoch


async def _close_alone(database: Database, letter: DeadLetterSummary, action: Action) -> Done:
    """A letter about no resource: it changes no directory, so no event is needed."""
    if action == "redrive":
        return Done(letter, "impossible", "its record does not say what it is about; discard it")
    async with database.connection() as connection:
        was_open = await dead_letter.discard_without_resource(connection, letter)
    return Done(letter, "discarded" if was_open else "already", "it was about no resource")


def _asking(
    request_id: str, letter: DeadLetterSummary, action: Action, by: str
) -> tuple[Request, str, int]:
    """The redrive or discard of a letter, with the topic and partition it is published to."""
    request = Request(
        id=request_id,
        endpoint=ENDPOINTS[letter.endpoint or "Users"],
        organisation_id=letter.organisation_id or "",
        resource_id=letter.resource_id or "",
        time=now(),
        body=BODIES[action](dead_id=letter.id or "", dead_letter=letter.name),
        actor=by,
    )
    return request, letter.topic, letter.partition


def _judge(letter: DeadLetterSummary, row: AuditRow | None, action: Action) -> Done:
    if row is None:
        return Done(
            letter,
            "pending",
            "accepted, not applied yet: the provisioner is behind or away (`rollcall lag`); the "
            "same command waits for it again and writes nothing more",
        )
    for stored in row.outcomes:
        if stored["fact"] in ("dead.redriven", "dead.discarded"):
            return _judge_detail(letter, stored["data"]["detail"], row, action)
    failed = [stored for stored in row.outcomes if stored["fact"] == "request.failed"]
    if failed:
        error_class = failed[0]["data"]["detail"]["error_class"]
        return Done(letter, "failed", f"it failed again ({error_class}) and stays dead")
    return Done(letter, "already", "it was not dead any more")


def _judge_detail(
    letter: DeadLetterSummary, detail: Mapping[str, object], row: AuditRow, action: Action
) -> Done:
    refused = sum(stored["fact"] == "request.rejected" for stored in row.outcomes)
    note = f"{detail['applied']} applied"
    if late := detail.get("expired"):
        note += f", {late} dropped: answered 503, so never applied"
    if refused:
        note += f", {refused} of them refused"
    if "dead" in detail:
        return Done(letter, "stopped", f"{note}; {detail['dead']} is dead now")
    return Done(letter, "redriven" if action == "redrive" else "discarded", note)
