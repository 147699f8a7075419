"""Outcomes about the resource of a request, and what a request must hold."""

from collections.abc import Mapping
from typing import Any, TypeVar

from rollcall.events.outcome import Fact, Outcome
from rollcall.events.request import Request

T = TypeVar("T")


def about(
    request: Request,
    fact: Fact,
    attributes: tuple[str, ...] = (),
    detail: Mapping[str, Any] | None = None,
) -> Outcome:
    """An outcome about the request's own resource."""
    return Outcome(
        fact, request.organisation_id, request.resource_id, attributes, dict(detail or {})
    )


def given(value: T | None) -> T:
    """The value that a request of this kind carries. Raises ValueError: a dead letter."""
    if value is None:
        raise ValueError("the request lacks what its kind needs")
    return value
