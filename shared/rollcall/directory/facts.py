"""Outcomes about the resource of a request."""

from collections.abc import Mapping
from typing import Any

from rollcall.events.outcome import Fact, Outcome
from rollcall.events.request import Request


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
