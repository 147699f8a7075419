"""Requests by the number. No test in here."""

from rollcall.events.request import Request
from tests.support.builders import create


def creates(first: int, number: int) -> list[Request]:
    return [create(n, f"user{n}@example.org") for n in range(first, first + number)]
