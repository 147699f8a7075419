"""An identity provider at work: does the steps of its plan, and retries as real ones do.

Sixty seconds without an answer, a broken connection and a 5xx are the same to it: it tries again
after a while, a create only after looking whether the first try has been heard after all. On 409 it
looks up who is there and takes that one over; on 404 it forgets the id. It writes down every
attempt, and judges nothing.
"""

import asyncio
import contextlib
import hashlib
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import aiohttp

from tests.chaos.history import (
    NO_ANSWER,
    Attempt,
    Attributes,
    Effect,
    Endpoint,
    seen_in,
    version_of,
)
from tests.chaos.plan import Action, Provider
from tests.support.scim_client import Answer, Client

TRIES = 4
LONGEST_PAUSE_S = 2.0
"""Real ones come back after minutes or hours; a run has not that long."""
Json = dict[str, Any]


@dataclass(slots=True)
class Known:
    """What it holds of one person or group: what it wants, and the id that it was told."""

    wanted: dict[str, Any]
    id: str | None = None


@dataclass(slots=True)
class AtWork:
    """One provider during a run."""

    seed: int
    plan: Provider
    organisation: str
    client: Client
    history: list[Attempt]
    persons: dict[int, Known] = field(default_factory=dict)
    groups: dict[int, Known] = field(default_factory=dict)
    unfinished: int = 0
    """Steps that their time was over for."""
    _sent: int = 0
    _dice: random.Random = field(init=False)
    _locks: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )

    def __post_init__(self) -> None:
        self._dice = random.Random(f"{self.seed} {self.plan.organisation} {self.plan.name} pauses")

    async def work(self, began_s: float, seconds: float) -> None:
        """All steps, each at its moment (the monotonic clock), some at once."""
        turns = asyncio.Semaphore(self.plan.dialect.jobs)

        async def one(action: Action) -> None:
            async with turns:
                if time.monotonic() > began_s + seconds:
                    self.unfinished += 1
                else:
                    await self._do(action)

        async with asyncio.TaskGroup() as group:
            for action in self.plan.actions:
                wait_s = began_s + action.at_s - time.monotonic()
                await asyncio.sleep(max(0.0, wait_s))  # the schedule is the plan's
                group.create_task(one(action))

    async def _do(self, action: Action) -> None:
        if "group" in action.act or action.act in ("join", "leave"):
            # Memberships go out side by side; what makes or ends a group does not.
            lock = f"group {action.group}" + (
                f" {action.slot}" if action.act in ("join", "leave") else ""
            )
            async with self._locks[lock]:
                await self._do_group(action)
        else:
            async with self._locks[f"person {action.slot}"]:
                await self._do_person(action)

    # Persons

    async def _do_person(self, action: Action) -> None:
        person = self.persons.setdefault(action.slot, Known(self._fresh(action.slot)))
        match action.act:
            case "look_up":
                await self._look_up(action, "Users", person)
            case "create":
                await self._ensure(action, "Users", person)
            case "test_user":
                await self._test_user(action)
            case "delete":
                await self._delete(action, "Users", person)
            case _ if person.id is None:
                await self._ensure(action, "Users", person)
            case "read" | "change_if_match":
                read = await self._send(action, "read", "GET", "Users", person.id)
                if read.status == 404:
                    person.id = None
                elif action.act == "change_if_match" and read.seen and read.seen[0].version:
                    wish = {"title": self._word(action)}
                    await self._change(action, person, wish, read.seen[0].version)
            case _:
                await self._change(action, person, self._wish(action, person))

    def _fresh(self, slot: int) -> dict[str, Any]:
        address = self._address(f"p{slot}")
        return {
            "userName": address,
            "externalId": f"{self.plan.name}-{slot}",
            "displayName": f"Person {slot}",
            "title": "new",
            "active": True,
            "email": address,
        }

    def _wish(self, action: Action, person: Known) -> Attributes:
        match action.act:
            case "revoke":
                return {"active": False}
            case "restore":
                return {"active": True}
            case "rename":
                base = self._address(f"p{action.slot}")
                other = self._address(f"p{action.slot}.{self.plan.name}{action.number}")
                return {"userName": other if person.wanted["userName"] == base else base}
            case "readdress":
                return {"email": self._address(f"m{action.slot}.{self.plan.name}{action.number}")}
        return {"title": self._word(action)}

    def _word(self, action: Action) -> str:
        return f"{self.plan.name} {action.number}"

    def _address(self, local: str) -> str:
        return f"{local}@{self.plan.organisation.replace(' ', '-')}.example"

    async def _change(
        self, action: Action, person: Known, wish: Attributes, if_match: str | None = None
    ) -> None:
        person.wanted |= wish
        dialect = self.plan.dialect
        if dialect.replaces_users and action.act != "change_if_match":
            effect = Effect("replace", "Users", dict(person.wanted))
            body = dialect.user(person.wanted)
            await self._insist(action, "PUT", person, effect, body)
        else:
            effect = Effect("patch", "Users", wish)
            body = dialect.user_patch(wish)
            await self._insist(action, "PATCH", person, effect, body, if_match)

    async def _test_user(self, action: Action) -> None:
        """Made and taken away within a moment: nobody may get a mail."""
        wanted = self._fresh(action.slot)
        name = self._address(f"test{action.number}")
        wanted |= {"userName": name, "email": name, "externalId": f"test-{action.number}"}
        person = Known(wanted)
        await self._ensure(action, "Users", person)
        await self._delete(action, "Users", person)

    # Groups

    async def _do_group(self, action: Action) -> None:
        name = {"displayName": f"Team {action.group}"}
        group = self.groups.setdefault(action.group, Known(name))
        if action.act == "delete_group":
            await self._delete(action, "Groups", group)
        elif group.id is None:
            async with self._locks[f"making {action.group}"]:
                await self._ensure(action, "Groups", group)
        elif action.act == "push_group":
            await self._push(action, group)
        elif action.act == "rename_group":
            names = {"displayName": f"Team {action.group} {self._word(action)}"}
            group.wanted |= names
            await self._patch_group(action, group, Effect("patch", "Groups", names))
        else:
            person = self.persons.get(action.slot)
            if person is None or person.id is None:
                return
            whom = frozenset({person.id})
            joins = action.act == "join"
            effect = (
                Effect("patch", "Groups", add=whom)
                if joins
                else Effect("patch", "Groups", remove=whom)
            )
            await self._patch_group(action, group, effect)

    async def _push(self, action: Action, group: Known) -> None:
        members = frozenset(
            known.id for slot in action.others if (known := self.persons.get(slot)) and known.id
        )
        if self.plan.dialect.replaces_groups:
            effect = Effect("replace", "Groups", dict(group.wanted), members=members)
            await self._insist(action, "PUT", group, effect, self.plan.dialect.group(effect))
        elif members:
            await self._patch_group(action, group, Effect("patch", "Groups", add=members))

    async def _patch_group(self, action: Action, group: Known, effect: Effect) -> None:
        body = self.plan.dialect.group_patch(group.id or "", effect)
        await self._insist(action, "PATCH", group, effect, body)

    # What both have

    async def _look_up(self, action: Action, endpoint: Endpoint, known: Known) -> Attempt:
        """Whom the directory has under the name; it takes over the id that it finds."""
        attribute = "userName" if endpoint == "Users" else "displayName"
        name = known.wanted[attribute]
        text = quote(f'{attribute} eq "{name}"')
        made = await self._send(
            action, "look up", "GET", endpoint, None, query=f"?filter={text}", looked_up=name
        )
        if made.is_yes and made.seen:
            known.id = made.seen[0].resource_id
        return made

    async def _ensure(self, action: Action, endpoint: Endpoint, known: Known) -> None:
        """Look up, and create whom it does not find; again and again, but not for ever."""
        for number in range(TRIES):
            found = await self._look_up(action, endpoint, known)
            if known.id is not None:
                return
            if not found.is_yes:
                await self._pause(found)
                continue
            members = frozenset[str]() if endpoint == "Groups" else None
            effect = Effect("create", endpoint, dict(known.wanted), members=members)
            dialect = self.plan.dialect
            body = dialect.user(effect.attributes) if endpoint == "Users" else dialect.group(effect)
            made = await self._send(
                action, f"create {number}", "POST", endpoint, None, body, effect
            )
            if made.is_yes:
                known.id = made.resource_id
                return
            if 400 <= made.status < 500 and made.status != 409:
                return
            await self._pause(made)

    async def _delete(self, action: Action, endpoint: Endpoint, known: Known) -> None:
        if known.id is not None:
            await self._insist(action, "DELETE", known, Effect("delete", endpoint), None)

    async def _insist(
        self,
        action: Action,
        method: str,
        known: Known,
        effect: Effect,
        body: Json | None,
        if_match: str | None = None,
    ) -> None:
        """A change of what is there, tried again where the answer says nothing about it."""
        for number in range(TRIES):
            if known.id is None:
                return
            what = f"{action.act} {number}"
            made = await self._send(
                action, what, method, effect.endpoint, known.id, body, effect, if_match
            )
            if made.status == 404 or (made.is_yes and effect.verb == "delete"):
                known.id = None
            if made.status not in (NO_ANSWER, 503):
                return
            await self._pause(made)

    async def _pause(self, after: Attempt) -> None:
        """The pace of a client that was not heard."""
        if after.status != 409:
            await asyncio.sleep(self._dice.uniform(0.3, LONGEST_PAUSE_S))

    async def _send(
        self,
        action: Action,
        what: str,
        method: str,
        endpoint: Endpoint,
        resource_id: str | None,
        body: Json | None = None,
        effect: Effect | None = None,
        if_match: str | None = None,
        *,
        query: str = "",
        looked_up: str | None = None,
    ) -> Attempt:
        """One request, written down with what became of it."""
        self._sent += 1
        key = f"{self.seed}|{self.plan.organisation}|{self.plan.name}|{action.number}|{self._sent}"
        token = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        path = f"/{endpoint}" + (f"/{resource_id}" if resource_id else "") + query
        tag = f'W/"{if_match}"' if if_match else None
        sent_s = time.time()
        answer: Answer | None = None
        # No answer is one of the answers.
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
            answer = await self.client.call(
                method, path, body, traceparent=f"00-{token}-{token[:16]}-01", If_Match=tag
            )
        made = _attempt(
            Attempt(
                token,
                self.organisation,
                self.plan.name,
                action.number,
                what,
                endpoint,
                resource_id,
                effect,
                sent_s,
                time.time(),
                NO_ANSWER,
                if_match=if_match,
                looked_up=looked_up,
            ),
            answer,
        )
        self.history.append(made)
        return made


def _attempt(sent: Attempt, answer: Answer | None) -> Attempt:
    """The attempt with its answer."""
    if answer is None:
        return sent
    is_yes = 200 <= answer.status < 300
    seen = seen_in(sent.endpoint, answer.body) if is_yes else ()
    resource_id = sent.resource_id
    if sent.effect is not None and sent.effect.verb == "create" and seen:
        resource_id = seen[0].resource_id
        tag = answer.headers.get("ETag")
        assert tag is None or version_of(tag) == seen[0].version, "ETag is not meta.version"
    return replace(
        sent,
        status=answer.status,
        is_pending=answer.is_pending,
        has_retry_after="Retry-After" in answer.headers,
        is_unknown=answer.status == 503 and "nothing was done" not in str(answer.body),
        resource_id=resource_id,
        seen=seen,
    )
