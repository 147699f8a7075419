"""Who may have an `externalId` that another one has (docs/decisions/0047)."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.directory.fold import Folded, fold_batch
from rollcall.directory.state import State
from rollcall.events.request import Kind, Request, Settings
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    a_request,
    a_user,
    an_id,
    replacing,
)

AT: Final = MOMENT + timedelta(seconds=1)
SHARED: Final[dict[str, Any]] = {"rules": 2}
ASKED_FOR: Final[dict[str, Any]] = {
    "rules": 2,
    "settings": Settings(unique_external_ids=True, unique_group_names=False),
}
OLD: Final[dict[str, Any]] = {"rules": 1}
ENDPOINTS: Final = ("member", "group")


def write(endpoint: str, verb: str, number: int, external_id: str | None, **fields: Any) -> Request:
    """A create, replace or patch of resource `number` that writes the external id."""
    kind: Kind = f"{endpoint}.{verb}"  # type: ignore[assignment]
    event = fields.pop("event", 100 + number)
    if verb == "patch":
        operation = (
            {"op": "remove", "path": "externalId"}
            if external_id is None
            else replacing("externalId", external_id)
        )
        return a_request(kind, an_id(number), event, operations=(operation,), **fields)
    name = f"name-{number}"
    resource = a_user(f"{name}@example.org") if endpoint == "member" else {"displayName": name}
    if external_id is not None:
        resource["externalId"] = external_id
    return a_request(kind, an_id(number), event, resource=resource, **fields)


def retitle(endpoint: str, number: int, **fields: Any) -> Request:
    """A patch that does not touch the external id."""
    if endpoint == "member":
        operation = replacing("title", f"title {number}")
        return a_request("member.patch", an_id(number), 900, operations=(operation,), **fields)
    operation = replacing("displayName", f"renamed {number}")
    return a_request("group.patch", an_id(number), 900, operations=(operation,), **fields)


def a_directory(*requests: Request) -> State:
    state = State(ORGANISATION)
    for item in fold(state, *requests):
        assert item.reply is not None
        assert item.reply.status in (200, 201, 204)
    return state


def fold(state: State, *requests: Request) -> list[Folded]:
    return fold_batch({ORGANISATION: state}, [(request, AT) for request in requests])


def statuses(folded: Sequence[Folded]) -> list[tuple[int, str | None, str | None]]:
    return [
        (item.reply.status, item.reply.scim_type, item.reply.attribute)
        for item in folded
        if item.reply is not None
    ]


REFUSED: Final = (409, "uniqueness", "externalId")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_it_may_be_shared_in_every_way_of_writing_it(endpoint: str) -> None:
    state = a_directory(
        write(endpoint, "create", 1, "x", **SHARED),
        write(endpoint, "create", 2, "x", **SHARED),
        write(endpoint, "create", 3, None, **SHARED),
        write(endpoint, "replace", 3, "x", event=201, **SHARED),
        write(endpoint, "create", 4, "y", **SHARED),
        write(endpoint, "patch", 4, "x", event=202, **SHARED),
    )

    holders = state.member_external_ids if endpoint == "member" else state.group_external_ids
    assert holders == {"x": {an_id(number) for number in (1, 2, 3, 4)}}


@pytest.mark.parametrize("unique", [OLD, ASKED_FOR], ids=["rules 1", "asked for"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_it_is_refused_in_every_way_of_writing_it_where_it_is_unique(
    endpoint: str, unique: dict[str, Any]
) -> None:
    state = a_directory(
        write(endpoint, "create", 1, "x", **unique), write(endpoint, "create", 3, "y", **unique)
    )

    folded = fold(
        state,
        write(endpoint, "create", 2, "x", **unique),
        write(endpoint, "replace", 3, "x", event=201, **unique),
        write(endpoint, "patch", 3, "x", event=202, **unique),
    )

    assert statuses(folded) == [REFUSED] * 3


@pytest.mark.parametrize("later", [OLD, ASKED_FOR], ids=["rules 1", "asked for"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_who_shared_it_before_may_keep_it_and_write_it_again(
    endpoint: str, later: dict[str, Any]
) -> None:
    """Otherwise an admin who switches it on would have resources that no cycle can change."""
    sharing = [write(endpoint, "create", number, "x", **SHARED) for number in (1, 2, 3)]
    state = a_directory(*sharing)

    folded = fold(
        state,
        retitle(endpoint, 1, **later),
        write(endpoint, "replace", 2, "x", event=901, **later),
        write(endpoint, "patch", 2, "x", event=902, **later),
        write(endpoint, "create", 4, "x", event=903, **later),
    )

    assert [each[0] for each in statuses(folded)][:3] == (
        [200, 200, 200] if endpoint == "member" else [204, 200, 204]
    )
    assert statuses(folded)[3] == REFUSED


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_shared_value_is_free_when_the_last_who_had_it_lets_it_go(endpoint: str) -> None:
    state = a_directory(
        write(endpoint, "create", 1, "x", **SHARED), write(endpoint, "create", 2, "x", **SHARED)
    )
    delete: Kind = f"{endpoint}.delete"  # type: ignore[assignment]

    folded = fold(
        state,
        a_request(delete, an_id(1), 901),
        write(endpoint, "create", 3, "x", event=902, **ASKED_FOR),
        write(endpoint, "patch", 2, None, event=903, **ASKED_FOR),
        write(endpoint, "create", 3, "x", event=904, **ASKED_FOR),
    )

    assert [each[0] for each in statuses(folded)][1::2] == [409, 201]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("fields", [OLD, SHARED, ASKED_FOR], ids=["rules 1", "shared", "unique"])
def test_a_blank_external_id_belongs_to_no_resource(endpoint: str, fields: dict[str, Any]) -> None:
    state = a_directory(
        write(endpoint, "create", 1, "", **fields), write(endpoint, "create", 2, "", **fields)
    )

    assert (state.member_external_ids, state.group_external_ids) == ({}, {})


def test_members_and_groups_do_not_meet() -> None:
    a_directory(
        write("member", "create", 1, "x", **ASKED_FOR),
        write("group", "create", 50, "x", **ASKED_FOR),
    )


WRITES = st.builds(
    lambda endpoint, verb, number, external_id, how: (endpoint, verb, number, external_id, how),
    st.sampled_from(ENDPOINTS),
    st.sampled_from(["create", "replace", "patch", "delete"]),
    st.integers(1, 4),
    st.sampled_from(["x", "y", "", None]),
    st.sampled_from(["old", "shared", "asked for"]),
)
HOW: Final = {"old": OLD, "shared": SHARED, "asked for": ASKED_FOR}


@given(st.lists(WRITES, max_size=25))
def test_the_state_knows_all_holders_and_no_unique_write_adds_one(
    writes: list[tuple[str, str, int, str | None, str]],
) -> None:
    state = State(ORGANISATION)
    for event, (endpoint, verb, number, external_id, how) in enumerate(writes, 1000):
        before = _holders(state, endpoint)
        if verb == "delete":
            kind: Kind = f"{endpoint}.delete"  # type: ignore[assignment]
            request = a_request(kind, an_id(number), event)
        else:
            request = write(endpoint, verb, number, external_id, event=event, **HOW[how])
        if request.kind == "member.delete":
            state.groups_of.setdefault(an_id(number), set())

        [folded] = fold(state, request)

        assert folded.error is None
        after = _holders(state, endpoint)
        known = state.member_external_ids if endpoint == "member" else state.group_external_ids
        assert known == after
        given_to = {
            key: ids - before.get(key, set()) for key, ids in after.items() if before.get(key)
        }
        if how != "shared":
            assert not any(given_to.values())
        elif external_id and folded.reply is not None:
            assert folded.reply.attribute != "externalId"


def _holders(state: State, endpoint: str) -> dict[str, set[str]]:
    """External id → who has it, from the resources themselves."""
    found: dict[str, set[str]] = {}
    for each in (state.members if endpoint == "member" else state.groups).values():
        if each.external_id is not None:
            found.setdefault(each.external_id, set()).add(each.id)
    return found
