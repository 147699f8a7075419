"""A batch is weighed before it is loaded and cut: order kept, nothing lost, each part in bounds."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rollcall.applying.measure import assumed, needs_sizes
from rollcall.applying.understand import Entry, understand
from rollcall.applying.weight import (
    FACTOR,
    MEMBERSHIP_BYTES,
    Part,
    Sizes,
    Weight,
    cut,
    resource_of,
    slices,
    weigh,
)
from rollcall.events.request import MemberDelta, Request
from rollcall.scim import work
from rollcall.scim.limits import MAX_RESOURCE_BYTES
from rollcall_provisioner.attempts import TWICE, divided
from tests.support.builders import a_member, a_request, create, patch, redrive, replacing
from tests.support.samples.records import FakeRecord

MEMBERS = [a_member(number, f"m{number}@example.org") for number in range(1, 5)]


def entry(request: Request, size: int = 100, offset: int = 0) -> Entry:
    return Entry(FakeRecord(offset, value=b"x" * size), request.time, None, request)


def titled(member: int = 0, number: int = 900) -> Request:
    return patch(MEMBERS[member], replacing("title", "x"), number=number)


weights = st.builds(Weight, st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))


@given(st.lists(weights, max_size=40), st.integers(1, 2000), st.integers(1, 2000))
def test_parts_keep_order_lose_nothing_and_stay_in_bounds_or_hold_one(
    given_weights: list[Weight], most_bytes: int, most_work: int
) -> None:
    entries = [entry(titled(), offset=number) for number in range(len(given_weights))]

    parts = cut(entries, given_weights, most_bytes=most_bytes, most_work=most_work)

    assert [each for part in parts for each in part.entries] == entries
    assert [each for part in parts for each in part.weights] == given_weights
    for part in parts:
        assert part.entries
        within = part.weight.memory_bytes <= most_bytes and part.weight.work <= most_work
        assert within or len(part.entries) == 1
    for before, after in pairwise(parts):
        both = before.weight + after.weights[0]
        assert both.memory_bytes > most_bytes or both.work > most_work, "cut for no reason"


@given(st.lists(weights, min_size=2, max_size=40))
def test_a_part_that_is_always_too_much_ends_at_its_events_in_order(
    given_weights: list[Weight],
) -> None:
    entries = [entry(titled(), offset=number) for number in range(len(given_weights))]
    left = [(Part(entries, given_weights), TWICE)]
    singles: list[Entry] = []
    tried = 0
    while left:
        part, tries = left.pop(0)
        tried += tries
        if len(part.entries) == 1:
            assert tries == TWICE, "no event is given up after one attempt"
            singles.extend(part.entries)
        else:
            left[:0] = divided(part, tries)

    assert singles == entries
    assert tried <= 2 + 2 + 2 * len(entries)


@given(st.lists(st.integers(0, 3000), max_size=40), st.integers(300, 5000))
def test_slices_keep_order_and_stay_in_bounds_or_hold_one(sizes: list[int], most: int) -> None:
    records = [FakeRecord(offset, value=b"x" * size) for offset, size in enumerate(sizes)]

    found = list(slices(records, most))

    assert [each for some in found for each in some] == records
    for some in found:
        assert len(some) == 1 or sum(len(each.value or b"") for each in some) <= most


def test_each_change_of_one_large_member_weighs_the_member_once_more() -> None:
    request = titled()
    sizes = Sizes({resource_of(request): 200_000})

    found = weigh([entry(titled(number=900 + n)) for n in range(10)], sizes)

    assert all(each.memory_bytes > FACTOR * 200_000 for each in found)
    assert sum(each.memory_bytes for each in found) > 10 * FACTOR * 200_000


def test_what_a_batch_makes_itself_weighs_behind_it() -> None:
    made = create(1, "m1@example.org")
    changed = patch(a_member(1, "m1@example.org", id=made.resource_id), replacing("title", "x"))

    _, found = weigh([entry(made, 50_000), entry(changed, 100)], Sizes())

    assert found.json_bytes >= 50_100


def test_a_member_that_grows_is_never_heavier_than_the_largest_that_may_be() -> None:
    found = weigh([entry(titled(number=900 + n), 100_000) for n in range(20)], Sizes())

    assert max(each.json_bytes for each in found) <= MAX_RESOURCE_BYTES + 100_000


def test_groups_of_a_member_and_members_of_a_whole_group_count() -> None:
    member = titled()
    group = a_request("group.replace", MEMBERS[1].id, members=MemberDelta(clear=True))
    delta = a_request("group.patch", MEMBERS[1].id, members=MemberDelta(add=(MEMBERS[0].id,)))
    memberships = {resource_of(each): 100_000 for each in (member, group)}

    found = weigh([entry(member), entry(group), entry(delta)], Sizes(memberships=memberships))

    assert all(each.memory_bytes > 100_000 * MEMBERSHIP_BYTES for each in found[:2])
    assert found[2].memory_bytes < 100_000


def test_a_redrive_weighs_what_is_held() -> None:
    request = redrive(titled())
    sizes = Sizes(held={resource_of(request): 5_000_000})

    [found] = weigh([entry(request)], sizes)

    assert found.memory_bytes > FACTOR * 5_000_000
    assert found.is_heavy


def test_a_costly_patch_goes_alone_and_in_a_thread_however_small_it_is() -> None:
    terms = " or ".join(f'streetAddress co "{n}"' for n in range(190))
    operations = [{"op": "remove", "path": f"addresses[{terms}].locality"}] * 26
    costly = patch(MEMBERS[0], *operations)
    sizes = Sizes({resource_of(costly): 255_000})
    entries = [entry(titled(1)), entry(costly), entry(titled(2))]

    found = weigh(entries, sizes)

    assert found[1].work > 10 * work.UNITS_PER_SECOND // 100
    assert [each.is_heavy for each in found] == [False, True, False]


def test_an_operation_that_is_none_weighs_its_bytes() -> None:
    broken = patch(MEMBERS[0], {"op": "add"}, {"op": "add", "path": 7, "value": 1})

    [found] = weigh([entry(broken)], Sizes())

    assert found.json_bytes == 100


def test_a_record_that_is_no_request_weighs_its_bytes() -> None:
    understood = understand([FakeRecord(0, value=b"x" * 5000)])

    [found] = weigh(understood.entries, Sizes())

    assert found.json_bytes == 5000


def test_sizes_are_asked_for_where_a_batch_can_be_cut() -> None:
    whole = a_request("group.replace", MEMBERS[1].id, members=MemberDelta(clear=True))

    assert not needs_sizes([])
    assert not needs_sizes([entry(titled())])
    assert not needs_sizes([entry(create(n, f"n{n}@example.org")) for n in range(500)])
    assert needs_sizes([entry(titled(0)), entry(titled(1))])
    assert needs_sizes([entry(whole)])
    assert needs_sizes([entry(redrive(titled()))])


def test_a_record_without_an_estimate_counts_as_the_largest() -> None:
    entries = [entry(titled(0)), entry(titled(1))]

    found = weigh(entries, assumed(entries))

    assert all(each.json_bytes >= MAX_RESOURCE_BYTES for each in found)


def test_one_small_change_alone_is_decided_where_it_is() -> None:
    """What an identity provider waits for takes no way through a thread."""
    alone = [entry(titled())]

    [found] = weigh(alone, assumed(alone))

    assert not found.is_heavy
