"""Two helpers of the deciders: build an outcome, and require what a kind of request must carry."""

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
    """An outcome about the resource that the request names."""
    return Outcome(
        fact, request.organisation_id, request.resource_id, attributes, dict(detail or {})
    )


def given(value: T | None) -> T:
    """`value`, which requests of this kind carry. Raises ValueError (a dead letter) for None."""
    if value is None:
        raise ValueError("the request lacks what its kind needs")
    return value
