"""Requests made by schemathesis from our OpenAPI document, against a running stack. No test here.

Half of the cases keep to the document and half break it. What is checked of each answer: it is no
5xx, its status, media type and headers are described for the operation, and its body is as
described there. Schemathesis makes and judges; sending, counting and limits are here, so that
nothing can be skipped in silence.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from docs import openapi
from tests.support.scim_client import GROUP, SCIM, USER
from tests.support.stack import Organisation, running

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TIMEOUT_S: Final = 5.0
MODES: Final = {"kept": GenerationMode.POSITIVE, "broken": GenerationMode.NEGATIVE}


@lru_cache(maxsize=1)
def operations() -> dict[str, Any]:
    """Label such as `GET /Users/{id}` → schemathesis's operation, every one of the document."""
    found = {}
    for result in schemathesis.openapi.from_dict(openapi.document()).get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        found[operation.label] = operation
    return found


@dataclass(slots=True)
class Target:
    """A running stack with one organisation, and what was sent to it."""

    organisation: Organisation
    session: requests.Session
    cases: "Counter[tuple[str, str]]" = field(default_factory=Counter)
    statuses: "Counter[int]" = field(default_factory=Counter)
    ids: dict[str, str] = field(default_factory=dict)

    def fuzz(self, label: str, mode: str, count: int, *, is_repeatable: bool) -> None:
        """At most `count` cases of an operation; raises what schemathesis finds.

        Fewer only where there are not so many different ones.
        """

        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            derandomize=is_repeatable,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operations()[label].as_strategy(generation_mode=MODES[mode]))
        def send(case: Case[Any]) -> None:
            self._send(case, label, mode)

        send()

    def _send(self, case: Case[Any], label: str, mode: str) -> None:
        self.cases[label, mode] += 1
        if self.cases[label, mode] % 2:
            self._aim(case, label)
        response = case.call(
            base_url=self.organisation.base,
            session=self.session,
            headers={"Authorization": f"Bearer {self.organisation.key}"},
            timeout=TIMEOUT_S,
            allow_redirects=False,
        )
        self.statuses[response.status_code] += 1
        if label.startswith("DELETE") and response.status_code == 204:
            self.ids.clear()
        case.validate_response(response, checks=CHECKS)

    def _aim(self, case: Case[Any], label: str) -> None:
        """Let the address name something that is there: what is made up is nobody's."""
        if "{id}" in label:
            case.path_parameters = {"id": self._resource("Users" if "Users" in label else "Groups")}
        elif "{name}" in label:
            case.path_parameters = {"name": "User" if "ResourceTypes" in label else USER}

    def _resource(self, endpoint: str) -> str:
        if endpoint not in self.ids:
            number = sum(self.cases.values())
            body = (
                {"schemas": [USER], "userName": f"fuzz{number}@example.org"}
                if endpoint == "Users"
                else {"schemas": [GROUP], "displayName": f"Fuzz {number}"}
            )
            answer = self.session.post(
                f"{self.organisation.base}/{endpoint}",
                json=body,
                headers={**SCIM, "Authorization": f"Bearer {self.organisation.key}"},
                timeout=TIMEOUT_S,
            )
            assert answer.status_code == 201, answer.text
            self.ids[endpoint] = answer.json()["id"]
        return self.ids[endpoint]


@contextmanager
def served(folder: Path, bootstrap: str, prefix: str, database_url: Any) -> Iterator[Target]:
    """A stack for tests that are not asynchronous, because schemathesis is not."""
    with asyncio.Runner() as runner:
        context = running(folder, bootstrap, prefix, database_url)
        stack = runner.run(context.__aenter__())
        try:
            organisation = runner.run(stack.organisation())
            runner.run(stack.start_all())
            with requests.Session() as session:
                yield Target(organisation, session)
        finally:
            runner.run(context.__aexit__(None, None, None))
