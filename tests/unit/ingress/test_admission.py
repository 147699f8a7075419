"""Bounds on what is in flight."""

from contextlib import ExitStack

import pytest

from services.ingress.admission import Admission, Bounds
from shared.runtime.errors import Unavailable


def an_admission(requests: int = 4, size: int = 100) -> Admission:
    return Admission(Bounds(requests, size, body_bytes=50, body_timeout_s=1.0))


def test_one_organisation_gets_all_seats_while_nobody_else_asks() -> None:
    admission = an_admission()

    with ExitStack() as seats:
        for _ in range(4):
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


def test_a_seat_is_free_again_after_an_error() -> None:
    admission = an_admission(requests=1)

    def fail() -> None:
        with admission.admit("a") as seat:
            admission.reserve(seat, 100)
            raise RuntimeError

    for _ in range(3):
        with pytest.raises(RuntimeError):
            fail()

    with admission.admit("a") as seat:
        admission.reserve(seat, 100)


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
