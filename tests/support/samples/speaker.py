"""Conversations that make every mistake that a request can make. No test in here."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from rollcall.events.request import MemberDelta, Request, Settings
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    OTHER_ORGANISATION,
    a_request,
    a_user,
    an_id,
    replacing,
)

AT: Final = MOMENT + timedelta(seconds=1)
ORGANISATIONS: Final = (ORGANISATION, OTHER_ORGANISATION, an_id(3))


# The same ids in every organisation; the last one is made by nobody.
MEMBERS: Final = tuple(an_id(number) for number in range(11, 18))
GROUPS: Final = tuple(an_id(number) for number in range(50, 54))
NAMES: Final = ("ana", "Ana", "bo", "cy", "dee", "eve")
EXTERNAL_IDS: Final = ("x-1", "X-1", "x-2", "", None)
UNKNOWN_IDS: Final = ("no-uuid", an_id(99))


class Speaker:
    """Makes one conversation; all chances come from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.ruling = random.Random(seed + 1)  # of its own: `chance` says what it said before
        self.numbers = 10_000
        self.kinds: tuple[Callable[[], Request], ...] = (
            *[self.create_member] * 3,
            self.replace_member,
            *[self.patch_member] * 3,
            self.accept,
            self.delete_member,
            *[self.create_group] * 2,
            self.replace_group,
            *[self.patch_group] * 4,
            self.delete_group,
        )

    def conversation(self, length: int) -> list[Request]:
        found = []
        for _ in range(length):
            self.numbers += 1
            request = replace(
                self.chance.choice(self.kinds)(),
                id=an_id(self.numbers),
                organisation_id=self.chance.choice(ORGANISATIONS),
                time=MOMENT + timedelta(milliseconds=self.numbers),
                settings=Settings(
                    unique_group_names=self.chance.random() < 0.8,
                    profile="interop" if self.chance.random() < 0.1 else "compatible",
                    unique_external_ids=self.ruling.random() < 0.3,
                ),
                rules=self.ruling.choice((1, 2, 2)),
            )
            found.append(request)
        return found

    def create_member(self) -> Request:
        more: dict[str, Any] = {"active": self.chance.random() < 0.8}
        return a_request("member.create", self.member(), resource=self.user(**more))

    def replace_member(self) -> Request:
        resource = self.user()
        if self.chance.random() < 0.5:
            del resource["active"]
        return a_request("member.replace", self.member(), resource=resource)

    def patch_member(self) -> Request:
        possible = (
            replacing("active", self.chance.random() < 0.5),
            replacing("userName", self.chance.choice(NAMES)),
            replacing("title", self.chance.choice(("Captain", "Cook"))),
            replacing("externalId", self.chance.choice(EXTERNAL_IDS[:4])),
            {"op": "remove", "path": "externalId"},
            replacing("emails", [{"value": f"{self.chance.choice(NAMES)}@example.org"}]),
            {"op": "remove", "path": "title"},
        )
        operations = self.chance.sample(possible, self.chance.randint(1, 3))
        return a_request("member.patch", self.member(), operations=tuple(operations))

    def accept(self) -> Request:
        # The invitation is one of the last events: sometimes the right one.
        invitation = an_id(self.numbers - self.chance.randint(1, 12))
        expires = AT + timedelta(days=self.chance.choice((-1, 5)))
        return a_request(
            "member.accept", self.member(), invitation_id=invitation, invitation_expires=expires
        )

    def delete_member(self) -> Request:
        return a_request("member.delete", self.member())

    def create_group(self) -> Request:
        members = MemberDelta(add=self.ids()) if self.chance.random() < 0.7 else None
        return a_request("group.create", self.group(), resource=self.named(), members=members)

    def replace_group(self) -> Request:
        members = MemberDelta(True, self.ids()) if self.chance.random() < 0.7 else None
        return a_request("group.replace", self.group(), resource=self.named(), members=members)

    def patch_group(self) -> Request:
        fields: dict[str, Any] = {}
        if self.chance.random() < 0.3:
            possible = (
                replacing("displayName", self.chance.choice(NAMES)),
                replacing("externalId", self.chance.choice(EXTERNAL_IDS[:4])),
                {"op": "remove", "path": "externalId"},
            )
            fields["operations"] = tuple(self.chance.sample(possible, 1))
        if not fields or self.chance.random() < 0.5:
            clear = self.chance.random() < 0.2
            add = self.ids()
            remove = () if clear else tuple(i for i in self.ids() if i not in add)
            fields["members"] = MemberDelta(clear, add, remove)
        return a_request("group.patch", self.group(), **fields)

    def delete_group(self) -> Request:
        return a_request("group.delete", self.group())

    def member(self) -> str:
        return self.chance.choice(MEMBERS)

    def group(self) -> str:
        return self.chance.choice(GROUPS)

    def ids(self) -> tuple[str, ...]:
        return tuple(self.chance.sample((*MEMBERS, *UNKNOWN_IDS), self.chance.randint(0, 4)))

    def user(self, **more: Any) -> dict[str, Any]:
        return self.with_external_id(a_user(self.chance.choice(NAMES), **more))

    def named(self) -> dict[str, Any]:
        return self.with_external_id({"displayName": self.chance.choice(NAMES)})

    def with_external_id(self, resource: dict[str, Any]) -> dict[str, Any]:
        external_id = self.chance.choice(EXTERNAL_IDS)
        return resource if external_id is None else {**resource, "externalId": external_id}
