"""Bounds on what is in flight."""

from contextlib import ExitStack

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rollcall.runtime.errors import Unavailable
from rollcall.scim.errors import UnsupportedMediaType
from rollcall_ingress.door.admission import INVITATION_PAGE, Admission, Bounds, check_media


def an_admission(requests: int = 4, size: int = 100) -> Admission:
    return Admission(Bounds(requests, size, body_bytes=50, body_timeout_s=1.0))


def test_a_single_organisation_gets_all_seats_but_one_in_eight() -> None:
    admission = an_admission(requests=8)

    with ExitStack() as seats:
        for _ in range(7):
            seats.enter_context(admission.admit("a"))
        with pytest.raises(Unavailable):
            seats.enter_context(admission.admit("a"))


def test_one_organisation_gets_half_while_others_ask() -> None:
    admission = an_admission()

    with ExitStack() as seats:
        seats.enter_context(admission.admit("b"))
        seats.enter_context(admission.admit("a"))
        seats.enter_context(admission.admit("a"))
        with pytest.raises(Unavailable):
            seats.enter_context(admission.admit("a"))
        seats.enter_context(admission.admit("b"))


def test_the_invitation_page_has_a_small_share_also_while_it_is_alone() -> None:
    admission = an_admission(requests=32)

    with ExitStack() as seats:
        for _ in range(2):
            seats.enter_context(admission.admit(INVITATION_PAGE))
        with pytest.raises(Unavailable):
            seats.enter_context(admission.admit(INVITATION_PAGE))
        seats.enter_context(admission.admit("a"))

    with an_admission(requests=1).admit(INVITATION_PAGE):
        pass


def test_a_seat_is_free_again_after_an_error() -> None:
    admission = an_admission(requests=2)

    def fail() -> None:
        with admission.admit("a") as seat:
            admission.reserve(seat, 50)
            raise RuntimeError

    for _ in range(3):
        with pytest.raises(RuntimeError):
            fail()

    with admission.admit("a") as seat:
        admission.reserve(seat, 50)


def test_bytes_are_bounded_and_shared() -> None:
    admission = an_admission(requests=100)

    with admission.admit("a") as a, admission.admit("b") as b:
        admission.reserve(a, 40)
        admission.reserve(b, 40)
        with pytest.raises(Unavailable):
            admission.reserve(a, 15)
        admission.reserve(b, 10)
        with pytest.raises(Unavailable):
            admission.reserve(b, 15)


def test_one_organisation_alone_never_gets_all_so_the_next_one_comes_in() -> None:
    """What it holds comes back only when it is done: bodies that trickle, a Kafka that is slow."""
    admission = an_admission(requests=16, size=1000)

    with ExitStack() as seats:
        for _ in range(14):
            seat = seats.enter_context(admission.admit("a"))
            admission.reserve(seat, 50)
        with pytest.raises(Unavailable):
            seats.enter_context(admission.admit("a"))

        for name in ("b", "c"):
            admission.reserve(seats.enter_context(admission.admit(name)), 50)


def test_the_bytes_of_one_organisation_leave_room_for_a_body_of_another() -> None:
    admission = an_admission(requests=100, size=400)

    with admission.admit("a") as a, admission.admit("b") as b:
        admission.reserve(a, 350)
        with pytest.raises(Unavailable):
            admission.reserve(a, 1)
        admission.reserve(b, 50)


def test_even_the_smallest_bounds_let_one_organisation_work() -> None:
    admission = Admission(Bounds(10, 100, body_bytes=50, body_timeout_s=1.0))

    with admission.admit("a") as seat:
        admission.reserve(seat, 50)


def test_an_answer_counts_until_it_has_been_taken() -> None:
    admission = an_admission(requests=100)

    with admission.hold_answer("a", 50, may_refuse=True):
        with pytest.raises(Unavailable), admission.hold_answer("a", 1, may_refuse=True):
            pass
        with admission.hold_answer("b", 50, may_refuse=True):
            pass

    with admission.hold_answer("a", 50, may_refuse=True):
        pass


def test_a_change_is_answered_however_full_it_is() -> None:
    admission = an_admission(requests=100)

    with (
        admission.hold_answer("a", 5000, may_refuse=False),
        admission.admit("b") as b,
        pytest.raises(Unavailable),
    ):
        admission.reserve(b, 1)

    with admission.admit("b") as b:
        admission.reserve(b, 50)


class Flood(RuleBasedStateMachine):
    """Organisations that ask, hold and give back as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = an_admission(requests=20, size=1000)
        self.held: list[tuple[str, int, ExitStack]] = []

    @rule(name=st.sampled_from("abc"), size=st.integers(0, 50))
    def ask(self, name: str, size: int) -> None:
        before = self.held
        mine = [held for held in before if held[0] == name]
        others = [held for held in before if held[0] != name]
        with ExitStack() as stack:
            try:
                self.admission.reserve(stack.enter_context(self.admission.admit(name)), size)
            except Unavailable:
                if not mine:  # a newcomer is refused only where all is taken
                    assert len(others) == 20 or sum(held[1] for held in others) + size > 1000
                return
            self.held.append((name, size, stack.pop_all()))
        if others:
            assert len(mine) + 1 <= 10

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        if self.held:
            place = data.draw(st.integers(0, len(self.held) - 1))
            self.held.pop(place)[2].close()

    @invariant()
    def the_bounds_hold(self) -> None:
        assert len(self.held) <= 20
        assert sum(size for _, size, _ in self.held) <= 1000

    def teardown(self) -> None:
        for _, _, stack in self.held:
            stack.close()
        assert not self.admission._requests
        assert not self.admission._bytes


TestFlood = Flood.TestCase


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "application/scim+json",
        "application/json",
        "Application/JSON ; charset=UTF-8",
        'application/scim+json;charset="utf-8"; v=1;',
        "application/json;",
    ],
)
def test_json_by_any_of_its_names_is_read(kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}

    check_media(make_mocked_request("POST", "/", headers=headers))


@pytest.mark.parametrize(
    "kind",
    [
        ";;;===",
        ";charset=utf-8",
        "application/json;===",
        "application/json charset=utf-8",
        "application/json, text/plain",
        "application/jsonp",
        "application/json/x",
        "json",
        "/",
        "application/ json",
        'application/json; a="',
        "text/plain; application/json",
        "multipart/form-data; boundary=application/json",
    ],
)
def test_what_is_no_json_by_name_is_not_guessed(kind: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        check_media(make_mocked_request("POST", "/", headers={"Content-Type": kind}))
