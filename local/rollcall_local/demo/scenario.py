"""The demo against a running stack, in order: what it does, waits for, and expects.

Each request goes to the next replica of ingress in turn, so that none sees all of them.

1. Two identity providers at once, each in an organisation of its own.
2. Joiners; their invitations arrive; leavers.
3. A burst of joiners while the provisioner is stopped: each is answered from the accepted
   request, marked pending, and the directory catches up afterwards. A live line shows it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rollcall.runtime.clock import now
from rollcall_local.demo import burst, conversation, crowd, narrator, verdict
from rollcall_local.demo.burst import Watched
from rollcall_local.demo.crowd import Crowd
from rollcall_local.demo.observe import Notice, Observer
from rollcall_local.demo.organisations import DemoOrganisations
from rollcall_local.demo.people import Person, people
from rollcall_local.demo.player import play
from rollcall_local.demo.sizes import Sizes
from rollcall_local.demo.verdict import Check, Crew, Phase
from rollcall_local.stack import hold

PATIENCE_S: Final = 120.0
"""How long mails and lag may take, once the last mail is due."""
_ASK_EVERY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Result:
    """What the demo found. `members` is title of an organisation → status → count."""

    phases: list[Phase]
    checks: list[Check]
    members: dict[str, Counter[str]]
    notices: list[Notice]
    lag: int

    @property
    def has_held(self) -> bool:
        """Whether every expectation held."""
        return all(check.has_held for check in self.checks)


@dataclass(slots=True)
class Scenario:
    """One run of the demo against the stack in `data`; `doors` is how many ingresses it has."""

    data: Path
    sizes: Sizes
    observer: Observer
    organisations: DemoOrganisations
    doors: int = 1
    phases: list[Phase] = field(default_factory=list)

    async def run(self) -> Result:
        """The demo from its first request to its last expectation. Raises Unavailable."""
        await self._converse()
        joiners = people(self.organisations.crowd.id, 1, self.sizes.joiners)
        ids = await self._join(joiners)
        await self._until_invited(len(ids))
        leavers = joiners[: self.sizes.leavers]
        await self._leave([ids[person.address] for person in leavers if person.address in ids])
        late = people(self.organisations.crowd.id, len(joiners) + 1, self.sizes.absorbed)
        watched = await self._join_while_stopped(late)
        await self._until_settled()
        return await self._judge(Crew([*joiners, *late], leavers), watched)

    async def _converse(self) -> None:
        turns = f" Requests go to {self.doors} replicas in turn." if self.doors > 1 else ""
        narrator.say(f"Entra and Okta talk at once, each to an organisation of its own.{turns}")
        talks = [
            ("Entra conversation", self.organisations.entra, conversation.load("entra-default")),
            ("Okta conversation", self.organisations.okta, conversation.load("okta-oin")),
        ]
        with narrator.bar("steps", sum(len(steps) for _, _, steps in talks)) as bar:
            async with asyncio.TaskGroup() as group:
                for title, organisation, steps in talks:
                    tally = self._phase(title).tally
                    group.create_task(
                        play(
                            organisation.client,
                            steps,
                            names={"apiKey": organisation.key},
                            tally=tally,
                            on_step=lambda _: bar.advance(),
                        )
                    )

    async def _join(self, joiners: Sequence[Person]) -> dict[str, str]:
        narrator.say(
            f"{len(joiners):,} joiners over {self.sizes.connections} connections, "
            "a look-up and a create each."
        )
        with narrator.bar("joiners", len(joiners)) as bar:
            callers = self._crowd(self._phase("joiners"), bar.advance)
            return await crowd.join(callers, joiners)

    async def _leave(self, ids: Sequence[str]) -> None:
        narrator.say(f"{len(ids):,} leavers.")
        with narrator.bar("leavers", len(ids)) as bar:
            await crowd.leave(self._crowd(self._phase("leavers"), bar.advance), ids)

    async def _join_while_stopped(self, joiners: Sequence[Person]) -> Watched:
        narrator.say(
            f"A burst: {len(joiners):,} joiners, and in the middle of it the provisioner is "
            f"stopped (SIGSTOP) for {self.sizes.stopped_s:.0f} s.\n"
            "  They are answered all the same: accepted by Kafka, marked pending, applied when it "
            "goes on.\n"
            "  Lag: requests that wait in Kafka."
        )
        tenth = max(1, len(joiners) // 10)
        phase = self._phase("burst, provisioner stopped")
        callers = self._crowd(phase, lambda: None)
        watching = burst.watch(
            self.observer,
            {self.organisations.crowd.organisation.partition},
            phase.tally,
            size=len(joiners),
            patience_s=PATIENCE_S,
        )
        async with watching as watched:
            await crowd.join(callers, joiners[:tenth])
            with hold.frozen(self.data, "provisioner"):
                goes_on_s = time.monotonic() + self.sizes.stopped_s
                await crowd.join(callers, joiners[tenth : len(joiners) - tenth])
                await asyncio.sleep(max(0.0, goes_on_s - time.monotonic()))
            await crowd.join(callers, joiners[len(joiners) - tenth :])
        left = "none is left" if watched.is_drained else "some are left"
        narrator.say(f"  Up to {watched.deepest:,} waited at once; {left}.")
        if phase.tally.later:
            narrator.say(
                f"  {phase.tally.later:,} requests were answered 503 and sent again after the "
                "time in `Retry-After`:\n"
                "  a replica did not know yet what the other had accepted."
            )
        return watched

    async def _until_invited(self, wanted: int) -> None:
        narrator.say("Their invitations arrive in the mailbox.")
        start_s = time.monotonic()
        with narrator.bar("invitations", wanted) as bar:

            async def have_arrived() -> bool:
                arrived = await self._arrived([self.organisations.crowd.id])
                bar.reach(arrived)
                return arrived >= wanted

            if await self._wait_until(have_arrived):
                narrator.say(f"  All are there {time.monotonic() - start_s:.1f} s later.")

    async def _until_settled(self) -> None:
        narrator.say("The directory and the mails catch up.")
        start_s = time.monotonic()
        if behind := await self.observer.lag(self._partitions):
            await self._until_no_lag(behind)
        ids = [each.id for each in self.organisations.used]
        notices = await self.observer.notices(ids)
        with narrator.bar("mails", len(notices)) as bar:

            async def have_arrived() -> bool:
                notices = await self.observer.notices(ids)
                arrived = await self._arrived(ids)
                bar.reach(arrived)
                return arrived >= sum(each.state == "sent" for each in notices) and not any(
                    each.state == "due" for each in notices
                )

            await self._wait_until(have_arrived)
        narrator.say(f"  All is applied and sent {time.monotonic() - start_s:.1f} s later.")

    async def _until_no_lag(self, behind: int) -> None:
        with narrator.bar("records", behind) as bar:

            async def has_none() -> bool:
                lag = await self.observer.lag(self._partitions)
                bar.reach(max(0, behind - lag))
                return lag == 0

            await self._wait_until(has_none)

    async def _judge(self, crew: Crew, watched: Watched) -> Result:
        lag = await self.observer.lag(self._partitions)
        notices = await self.observer.notices([each.id for each in self.organisations.used])
        maildir = await self.observer.scan_mails()
        members = {
            each.id: await self.observer.members(each.id) for each in self.organisations.used
        }
        crew_id = self.organisations.crowd.id
        stopped = self.phases[-1].tally
        checks = [
            *verdict.check_phases(self.phases),
            Check("answers given while the provisioner was stopped say so", stopped.pending > 0),
            Check(
                "what waited in Kafka was applied when the provisioner went on",
                watched.is_drained and watched.deepest > 0,
                f"at most {watched.deepest:,} were seen to wait",
            ),
            *verdict.check_directory(crew, members[crew_id]),
            *verdict.check_mails(crew, crew_id, notices, maildir),
            Check("nothing is left to apply or to read (lag 0)", lag == 0, f"{lag:,} records"),
        ]
        by_status = {
            used.organisation.name: Counter(each.status for each in members[used.id])
            for used in self.organisations.used
        }
        return Result(self.phases, checks, by_status, notices, lag)

    @property
    def _partitions(self) -> set[int]:
        return {each.organisation.partition for each in self.organisations.used}

    def _phase(self, title: str) -> Phase:
        self.phases.append(Phase(title))
        return self.phases[-1]

    def _crowd(self, phase: Phase, on_done: Callable[[], None]) -> Crowd:
        connections = self.sizes.connections
        return Crowd(self.organisations.crowd.client, connections, phase.tally, on_done)

    async def _arrived(self, organisation_ids: Sequence[str]) -> int:
        """How many of the notifier's mails for these organisations are in the mailbox."""
        notices = await self.observer.notices(organisation_ids)
        copies = (await self.observer.scan_mails()).copies()
        return sum(copies[each.normal_id] > 0 for each in notices if each.message_id)

    async def _wait_until(self, is_so: Callable[[], Awaitable[bool]]) -> bool:
        """Ask until the answer is yes, or nothing more can be expected; the last answer."""
        deadline_s = time.monotonic() + PATIENCE_S + await self._grace_left_s()
        while not await is_so():
            if time.monotonic() > deadline_s:
                narrator.say(f"  Given up after {PATIENCE_S:.0f} s.")
                return False
            await asyncio.sleep(_ASK_EVERY_S)  # between questions; the condition is above
        return True

    async def _grace_left_s(self) -> float:
        """Seconds until the last mail is due: a stack that ran before may have a grace time."""
        notices = await self.observer.notices([each.id for each in self.organisations.used])
        due = [each.due_at for each in notices if each.state == "due"]
        return max(0.0, (max(due) - now()).total_seconds()) if due else 0.0
