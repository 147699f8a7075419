"""How each identity provider says what it wants: verbs, spellings, pace. Pure.

From the recorded conversations in tests/conversations: Entra patches in capitals and sends `active`
as text, Okta replaces Users and removes members by path, OneLogin and Ping replace Users and patch
groups, JumpCloud creates a test user and takes it away, and pushes whole groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.chaos.history import Attributes, Effect
from tests.support.scim_client import GROUP, PATCH, USER

Json = dict[str, Any]
Act = Literal[
    "look_up",
    "read",
    "create",
    "test_user",
    "change",
    "change_if_match",
    "revoke",
    "restore",
    "rename",
    "readdress",
    "delete",
    "push_group",
    "join",
    "leave",
    "rename_group",
    "delete_group",
]
EVERYBODY: Mapping[Act, int] = {
    "look_up": 14,
    "read": 8,
    "create": 22,
    "change": 12,
    "revoke": 7,
    "restore": 7,
    "rename": 3,
    "readdress": 4,
    "push_group": 5,
    "join": 10,
    "leave": 5,
    "rename_group": 2,
    "delete_group": 1,
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of identity provider. `per_s`: steps a second; `jobs`: how many run at once."""

    name: str
    weights: Mapping[Act, int]
    per_s: float
    jobs: int
    burst: float = 0.0
    """The share of steps that come together with the one before."""
    replaces_users: bool = False
    replaces_groups: bool = False
    is_capitalised: bool = False
    active_as_text: bool = False
    removes_by_path: bool = False
    sends_password: bool = False

    def user(self, attributes: Attributes) -> Json:
        """The body of a POST or PUT."""
        body: Json = {
            "schemas": [USER],
            **{name: value for name, value in attributes.items() if name != "email"},
            "emails": [{"value": attributes["email"], "type": "work", "primary": True}],
        }
        if self.sends_password:
            body["password"] = "1mz050nq"
        return body

    def user_patch(self, attributes: Attributes) -> Json:
        """A PATCH that writes these attributes."""
        if self.replaces_users and set(attributes) == {"active"}:
            return self._patch({"op": "replace", "value": {"active": attributes["active"]}})
        return self._patch(
            *(
                {"op": self._op("replace"), "path": _path(name), "value": self._value(name, value)}
                for name, value in attributes.items()
            )
        )

    def group(self, effect: Effect) -> Json:
        """The body of a POST or PUT of a group."""
        body: Json = {"schemas": [GROUP], **effect.attributes}
        if effect.members is not None:
            body["members"] = [{"value": each} for each in sorted(effect.members)]
        return body

    def group_patch(self, resource_id: str, effect: Effect) -> Json:
        """A PATCH of a group: its name, or who joins and leaves."""
        operations: list[Json] = []
        if "displayName" in effect.attributes:
            name = effect.attributes["displayName"]
            if self.name == "okta":
                value = {"id": resource_id, "displayName": name}
                operations.append({"op": "replace", "value": value})
            else:
                operation = {"op": self._op("replace"), "path": "displayName", "value": name}
                operations.append(operation)
        if effect.add:
            members = [{"value": each} for each in sorted(effect.add)]
            operations.append({"op": self._op("add"), "path": "members", "value": members})
        if effect.remove and self.removes_by_path:
            operations += [
                {"op": "remove", "path": f'members[value eq "{each}"]'}
                for each in sorted(effect.remove)
            ]
        elif effect.remove:
            members = [{"value": each} for each in sorted(effect.remove)]
            operations.append({"op": self._op("remove"), "path": "members", "value": members})
        return self._patch(*operations)

    def _op(self, name: str) -> str:
        return name.capitalize() if self.is_capitalised else name

    def _value(self, name: str, value: object) -> object:
        return str(value) if name == "active" and self.active_as_text else value

    def _patch(self, *operations: Json) -> Json:
        return {"schemas": [PATCH], "Operations": list(operations)}


def _path(name: str) -> str:
    return 'emails[type eq "work"].value' if name == "email" else name


DIALECTS: Mapping[str, Dialect] = {
    each.name: each
    for each in (
        Dialect(
            "entra",
            {**EVERYBODY, "delete": 1},
            per_s=3.5,
            jobs=4,
            is_capitalised=True,
            active_as_text=True,
        ),
        Dialect(
            "okta",
            EVERYBODY,
            per_s=3.0,
            jobs=8,
            burst=0.4,
            replaces_users=True,
            removes_by_path=True,
            sends_password=True,
        ),
        Dialect(
            "onelogin",
            {**EVERYBODY, "delete": 6},
            per_s=2.0,
            jobs=2,
            replaces_users=True,
            removes_by_path=True,
        ),
        Dialect(
            "jumpcloud",
            {**EVERYBODY, "delete": 2, "test_user": 6},
            per_s=2.0,
            jobs=1,
            replaces_users=True,
            replaces_groups=True,
        ),
        Dialect(
            "ping",
            {**EVERYBODY, "delete": 5, "change_if_match": 8},
            per_s=3.0,
            jobs=3,
            replaces_users=True,
        ),
    )
}
