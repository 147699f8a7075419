"""What the overlay keeps, what it drops, what it has forgotten, and what that weighs."""

import tracemalloc

import pytest

from rollcall.events.request import MemberDelta, Request
from rollcall_ingress.behind.accepted import prepare
from rollcall_ingress.behind.overlay import Bounds, Overlay
from tests.support import builders
from tests.support.builders import (
    ORGANISATION,
    OTHER_ORGANISATION,
    a_member,
    a_request,
    an_id,
    patch,
    replacing,
)
from tests.support.builders import create as a_create
from tests.support.samples.overlay_store import APPENDED_MS, PARTITION, accept, an_overlay


def ids_kept(overlay: Overlay, count: int) -> list[int]:
    """Numbers of the members whose create is kept."""
    nodes = {number: ("member", an_id(number)) for number in range(count)}
    return [n for n, node in nodes.items() if overlay.has_node(ORGANISATION, node)]  # type: ignore[arg-type]


def a_filled(count: int, bounds: Bounds | None = None) -> Overlay:
    overlay = Overlay(bounds or Bounds())
    overlay.begin_at({PARTITION: 0})
    for number in range(count):
        accept(overlay, a_create(number, f"user-{number}@example.org"), number)
    return overlay


def test_what_is_sending_is_not_read_yet() -> None:
    overlay = Overlay()
    prepared = prepare(a_create(1, "ana@example.org"))

    overlay.begin(prepared.request)

    assert ids_kept(overlay, 3) == []
    overlay.accept(prepared, PARTITION, 0, APPENDED_MS)
    assert ids_kept(overlay, 3) == [1]


def test_a_reply_drops_its_request_and_all_before_it() -> None:
    overlay = a_filled(5)

    overlay.decided(an_id(102))

    assert ids_kept(overlay, 5) == [3, 4]
    assert len(overlay) == 2


def test_a_reply_that_overtakes_the_acknowledgement_drops_as_well() -> None:
    overlay = a_filled(3)
    prepared = prepare(a_create(3, "late@example.org"))
    overlay.begin(prepared.request)

    overlay.decided(prepared.request.id)
    overlay.accept(prepared, PARTITION, 3, APPENDED_MS)

    assert ids_kept(overlay, 5) == []


def test_a_reply_to_a_request_of_another_replica_drops_nothing() -> None:
    overlay = a_filled(3)

    overlay.decided(an_id(4711))

    assert len(overlay) == 3


def test_a_read_that_is_further_drops_what_is_below() -> None:
    overlay = a_filled(5)

    overlay.applied(PARTITION, 4)
    overlay.applied(PARTITION + 1, 99)

    assert ids_kept(overlay, 5) == [4]


def test_a_read_from_before_a_drop_is_stale_for_that_organisation() -> None:
    """It lacks what is applied, and the overlay does not have it any more either."""
    overlay = a_filled(5)

    overlay.applied(PARTITION, 4)

    assert overlay.is_stale(ORGANISATION, 3)
    assert not overlay.is_stale(ORGANISATION, 4)
    assert not overlay.is_stale(OTHER_ORGANISATION, 0)


def test_beyond_the_bound_the_oldest_go_and_a_miss_is_uncertain_until_caught_up() -> None:
    overlay = a_filled(10, Bounds(requests=4))

    assert ids_kept(overlay, 10) == [6, 7, 8, 9]
    assert not overlay.is_complete(PARTITION, 5)
    assert overlay.is_complete(PARTITION, 6)
    assert not overlay.is_stale(ORGANISATION, 0)


def test_bytes_are_bounded_as_requests_are() -> None:
    one = prepare(a_create(1, "user-1@example.org")).size_bytes
    overlay = a_filled(10, Bounds(bytes=one * 3 + one // 2))

    assert ids_kept(overlay, 10) == [7, 8, 9]
    assert overlay.size_bytes <= one * 3.5


def test_a_request_larger_than_all_bounds_is_forgotten_at_once() -> None:
    overlay = Overlay(Bounds(bytes=5000))
    overlay.begin_at({PARTITION: 0})
    ids = tuple(an_id(number) for number in range(2000))

    accept(overlay, a_request("group.patch", an_id(50), members=MemberDelta(add=ids)), 7)

    assert (len(overlay), overlay.size_bytes) == (0, 0)
    assert not overlay.is_complete(PARTITION, 7)
    assert overlay.is_complete(PARTITION, 8)


def test_what_a_process_before_this_one_accepted_counts_as_forgotten() -> None:
    overlay = Overlay()
    unknown = overlay.is_complete(PARTITION, 1_000_000)

    overlay.begin_at({PARTITION: 40})

    assert not unknown
    assert not overlay.is_complete(PARTITION, 39)
    assert overlay.is_complete(PARTITION, 40)


def test_nothing_is_left_of_what_was_dropped() -> None:
    overlay = a_filled(0)
    ids = tuple(an_id(number) for number in range(1500))
    for offset, request in enumerate(
        (
            a_create(1, "ana@example.org", externalId="e", displayName="Ana"),
            a_request("group.create", an_id(50), resource={"displayName": "Crew"}),
            a_request("group.patch", an_id(50), 901, members=MemberDelta(add=ids)),
            a_request("member.delete", an_id(1), 902),
        )
    ):
        accept(overlay, request, offset)

    overlay.applied(PARTITION, 4)

    assert (len(overlay), overlay.size_bytes) == (0, 0)
    assert overlay.is_empty_for(ORGANISATION)
    assert (overlay._places, overlay._organisations, overlay._sending) == ({}, {}, {})
    assert (overlay._names_sending, overlay._decided_early) == ({}, set())


@pytest.mark.parametrize("is_accepted", [False, True])
def test_a_user_name_is_taken_from_the_moment_its_create_is_sent(is_accepted: bool) -> None:
    overlay = Overlay()
    prepared = prepare(a_create(1, "ana@example.org"))
    overlay.begin(prepared.request)
    if is_accepted:
        overlay.accept(prepared, PARTITION, 0, APPENDED_MS)

    assert overlay.has_pending_name(ORGANISATION, "ana@example.org")
    assert not overlay.has_pending_name(ORGANISATION, "bo@example.org")
    assert not overlay.has_pending_name(OTHER_ORGANISATION, "ana@example.org")


def test_a_user_name_is_free_again_once_its_create_has_failed_or_is_decided() -> None:
    overlay = Overlay()
    failed, decided = (prepare(a_create(n, "ana@example.org")) for n in (1, 2))
    overlay.begin(failed.request)
    overlay.abandon(failed.request)
    after_failure = overlay.has_pending_name(ORGANISATION, "ana@example.org")
    overlay.begin(decided.request)
    overlay.accept(decided, PARTITION, 0, APPENDED_MS)

    overlay.decided(decided.request.id)

    assert not after_failure
    assert not overlay.has_pending_name(ORGANISATION, "ana@example.org")


@pytest.mark.parametrize(
    ("then", "is_taken"),
    [
        (a_request("member.delete", an_id(1)), False),
        (patch(a_member(1), replacing("userName", "bo")), False),
        (patch(a_member(1), replacing("userName", "ANA@example.org")), True),
        (patch(a_member(1), replacing("active", False)), True),
    ],
)
def test_a_pending_removal_or_renaming_frees_the_user_name(then: Request, is_taken: bool) -> None:
    overlay = an_overlay(a_create(1, "ana@example.org"), then)

    assert overlay.has_pending_name(ORGANISATION, "ana@example.org") is is_taken


def test_the_weight_of_requests_is_what_they_take_in_memory() -> None:
    """A group of 5 MB and small creates: within a factor of 1.6 of what Python allocates."""
    for make, number in ((a_big_group, 2), (a_small_create, 2000)):
        overlay = Overlay(Bounds(bytes=1 << 30))
        tracemalloc.start()
        for offset in range(number):
            accept(overlay, make(offset), offset)
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert taken / 1.6 < overlay.size_bytes < taken * 1.6, make


def a_big_group(number: int) -> Request:
    ids = tuple(an_id(1000 + each) for each in range(128_000))  # 39 bytes each on the wire
    return a_request("group.patch", an_id(50), 900 + number, members=MemberDelta(add=ids))


def a_small_create(number: int) -> Request:
    return builders.create(number, f"user-{number}@example.org", externalId=f"e-{number}")


def test_an_organisation_without_accepted_requests_has_no_pending_members() -> None:
    overlay = an_overlay(a_create(1, "ana@example.org"))

    assert overlay.pending("Users", ORGANISATION) == {an_id(1)}
    assert overlay.pending("Users", OTHER_ORGANISATION) == set()
    assert overlay.is_empty_for(OTHER_ORGANISATION)


def test_another_epoch_drops_what_is_kept_of_the_old_log_and_makes_misses_uncertain() -> None:
    overlay = a_filled(5)
    overlay.read_at(PARTITION, 0, 2)

    sight = overlay.read_at(PARTITION, 1, 0)

    assert sight == "another log"
    assert ids_kept(overlay, 5) == []
    assert (len(overlay), overlay.size_bytes) == (0, 0)
    assert not overlay.is_stale(ORGANISATION, 0)
    assert not overlay.is_complete(PARTITION, 10**9)
    assert overlay.read_at(PARTITION, 0, 7) == "outdated"
    overlay.resolve(PARTITION, 3, now_s=0.0)
    assert overlay.is_complete(PARTITION, 3)
    assert not overlay.is_complete(PARTITION, 2)


def test_what_is_accepted_in_a_log_that_begins_anew_takes_no_place_of_the_old_one() -> None:
    overlay = a_filled(5)
    anew = prepare(a_create(77, "anew@example.org"))
    overlay.begin(anew.request)

    overlay.accept(anew, PARTITION, 2, APPENDED_MS + 60_000)

    assert ids_kept(overlay, 100) == [77]
    assert [each.request.id for each in overlay.entries(ORGANISATION, [("member", an_id(77))])] == [
        anew.request.id
    ]
    overlay.applied(PARTITION, 3)
    assert overlay.is_empty_for(ORGANISATION)


def test_a_request_that_is_accepted_out_of_order_is_no_sign_of_another_log() -> None:
    overlay = a_filled(5)
    late = prepare(a_create(77, "late@example.org"))
    overlay.accept(prepare(a_create(78, "next@example.org")), PARTITION, 6, APPENDED_MS)

    overlay.accept(late, PARTITION, 5, APPENDED_MS)

    assert ids_kept(overlay, 100) == [0, 1, 2, 3, 4, 77, 78]


def an_overlay_on_another_log() -> Overlay:
    """Three of the old log are applied; one of a new log is accepted, and nobody applies it yet."""
    overlay = a_filled(3)
    overlay.acknowledged(PARTITION, 2, APPENDED_MS)
    overlay.read_at(PARTITION, 0, 3)
    overlay.acknowledged(PARTITION, 0, APPENDED_MS + 1)
    accept(overlay, a_create(77, "anew@example.org"), 0)
    return overlay


def test_offsets_of_the_log_before_say_nothing_about_one_that_begins_anew() -> None:
    overlay = an_overlay_on_another_log()

    next_offset = overlay.applied_of(PARTITION, 0, 3)
    overlay.read_at(PARTITION, 0, next_offset)

    assert next_offset == 0
    assert ids_kept(overlay, 100) == [77]
    assert not overlay.is_complete(PARTITION, next_offset)


def test_what_was_accepted_in_the_new_log_is_kept_when_the_operator_accepts_that() -> None:
    overlay = an_overlay_on_another_log()

    next_offset = overlay.applied_of(PARTITION, 1, 0)
    sight = overlay.read_at(PARTITION, 1, next_offset)

    assert sight == "current"
    assert ids_kept(overlay, 100) == [77]
    overlay.read_at(PARTITION, 1, overlay.applied_of(PARTITION, 1, 1))
    assert ids_kept(overlay, 100) == []


def test_a_reply_shows_that_the_log_is_the_one_that_is_applied() -> None:
    overlay = an_overlay_on_another_log()

    overlay.decided(an_id(177))

    assert overlay.applied_of(PARTITION, 0, 3) == 3
    assert ids_kept(overlay, 100) == []


def test_an_acknowledgement_that_is_read_late_is_no_sign_of_another_log() -> None:
    overlay = a_filled(3)
    overlay.acknowledged(PARTITION, 2, APPENDED_MS)

    overlay.acknowledged(PARTITION, 1, APPENDED_MS)

    assert overlay.applied_of(PARTITION, 0, 2) == 2
    assert ids_kept(overlay, 3) == [0, 1, 2]


def test_a_fold_is_exact_from_where_all_on_the_log_was_accepted_here() -> None:
    overlay = Overlay()
    assert not overlay.is_unbroken(PARTITION, 0)
    for offset in (3, 4):
        overlay.acknowledged(PARTITION, offset, APPENDED_MS)
    assert (overlay.is_unbroken(PARTITION, 2), overlay.is_unbroken(PARTITION, 3)) == (False, True)

    overlay.acknowledged(PARTITION, 6, APPENDED_MS)

    assert (overlay.is_unbroken(PARTITION, 5), overlay.is_unbroken(PARTITION, 6)) == (False, True)


def test_a_missing_acknowledgement_makes_misses_uncertain_until_it_cannot_come() -> None:
    overlay = a_filled(3)

    overlay.doubt(PARTITION, until_s=20.0)

    assert not overlay.is_complete(PARTITION, 3)
    overlay.resolve(PARTITION, 4, now_s=19.0)
    assert not overlay.is_complete(PARTITION, 4)
    overlay.resolve(PARTITION, 4, now_s=20.0)
    assert overlay.is_complete(PARTITION, 4)
