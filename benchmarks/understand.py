"""The cost of understanding a write, as a ratio to reading and writing the same JSON.

Run with `python -m benchmarks.understand`. It needs no Kafka and no Postgres: it measures
`understand_body`, from the bytes of a body to the request event, on one core, in CPU time. Each
figure is the fastest of many rounds, with the two sides taken in turn, so that a busy machine
disturbs both alike. The ratio is the claim; the microseconds depend on the machine.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from rollcall.scim.schema import ENTERPRISE_URN, USER, USER_URN
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.write.understand import Command, Verb, understand_body

ROUNDS: Final = 60
CALLS: Final = 300
_TIME: Final = datetime(2026, 11, 25, tzinfo=UTC)

_PERSON: Final = {
    "schemas": [USER_URN, ENTERPRISE_URN],
    "externalId": "9f0a7a43-6d3c-4f0e-9d3f-0f6a41c5be90",
    "userName": "mara.lindqvist@northwind.example",
    "active": True,
    "displayName": "Mara Lindqvist",
    "title": "Senior buyer",
    "preferredLanguage": "sv-SE",
    "name": {"formatted": "Mara Lindqvist", "familyName": "Lindqvist", "givenName": "Mara"},
    "emails": [{"primary": True, "type": "work", "value": "mara.lindqvist@northwind.example"}],
    "phoneNumbers": [
        {"type": "work", "value": "+46 8 5551 0142"},
        {"type": "mobile", "value": "+46 70 555 0199"},
    ],
    "addresses": [
        {
            "type": "work",
            "primary": True,
            "streetAddress": "Strandvägen 7",
            "locality": "Stockholm",
            "postalCode": "114 56",
            "country": "SE",
            "formatted": "Strandvägen 7, 114 56 Stockholm",
        }
    ],
    "meta": {"resourceType": "User"},
    ENTERPRISE_URN: {
        "employeeNumber": "004711",
        "department": "Procurement",
        "organization": "Northwind",
        "manager": {"value": "018f7a43-6d3c-7f0e-9d3f-0f6a41c5be90"},
    },
}
_CHANGE: Final = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations": [
        {"op": "Replace", "path": "active", "value": "False"},
        {
            "op": "Replace",
            "path": 'emails[type eq "work"].value',
            "value": "m.berg@northwind.example",
        },
        {"op": "Add", "path": f"{ENTERPRISE_URN}:department", "value": "Logistics"},
        {"op": "Add", "path": "name.familyName", "value": "Berg"},
    ],
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A body, and how many times the cost of its bare JSON round trip it may take."""

    name: str
    verb: Verb
    body: bytes
    at_most: float


CLAIMS: Final = (
    Claim("POST of a user", "create", orjson.dumps(_PERSON), 10.0),
    Claim("PATCH of four operations", "patch", orjson.dumps(_CHANGE), 20.0),
)


def measure(claim: Claim, *, rounds: int) -> tuple[float, float]:
    """Microseconds of CPU for the bare JSON and for understanding it: the fastest rounds."""
    command = Command(
        id="018f7a43-6d3c-7f0e-9d3f-0f6a41c5be91",
        verb=claim.verb,
        schema=USER,
        resource_id="018f7a43-6d3c-7f0e-9d3f-0f6a41c5be92",
        organisation=Organisation(
            id="018f7a43-6d3c-7f0e-9d3f-0f6a41c5be93", name="Northwind", partition=0, created=_TIME
        ),
        actor="key:bench",
        time=_TIME,
    )
    body = claim.body
    bare, understood = [], []
    for _ in range(rounds):
        bare.append(_cpu(lambda: orjson.dumps(orjson.loads(body))))
        understood.append(_cpu(lambda: understand_body(command, body)))
    return min(bare), min(understood)


def _cpu(call: Callable[[], object]) -> float:
    """Microseconds of CPU for one call, over `CALLS` of them."""
    begin = time.process_time_ns()
    for _ in range(CALLS):
        call()
    return (time.process_time_ns() - begin) / CALLS / 1000


def main() -> int:
    """Print the ratios; returns 1 if one is above its claim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    failed = False
    print(f"{'body':28}{'bytes':>7}{'JSON µs':>10}{'understood µs':>15}{'ratio':>8}{'at most':>9}")
    for claim in CLAIMS:
        bare, understood = measure(claim, rounds=rounds)
        ratio = understood / bare
        failed = failed or ratio > claim.at_most
        print(
            f"{claim.name:28}{len(claim.body):7}{bare:10.2f}{understood:15.2f}"
            f"{ratio:8.1f}{claim.at_most:9.0f}"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
