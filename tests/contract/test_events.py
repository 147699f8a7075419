"""The event contract: golden records of every version, the AsyncAPI document, a foreign reader."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
import yaml
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from cloudevents.core.formats.json import JSONFormat

from docs import asyncapi, generate
from rollcall.events import dead_letter, envelope, mail, outcome, reply, request
from rollcall.events.precondition import Precondition
from rollcall.tenancy import organisation
from tests.support import builders
from tests.support.builders import MOMENT, a_request, an_id

GOLDEN = Path(__file__).parent / "golden"
WAITED_FOR: dict[str, Any] = {
    "accept_by_ms": 1_764_057_610_000,
    "answer_by_ms": 1_764_057_602_000,
    "reply_to": 3,
}
SAMPLES: dict[str, tuple[str, envelope.Event]] = {}
ADDED = (
    "dead.discarded",
    "dead.redriven",
    "request.parked",
    "member.erased",
    "organisation.deleted",
)
"""Facts that came later, in their order: their samples are numbered behind the older ones."""


def sample(name: str, schema: str, event: envelope.Event) -> None:
    SAMPLES[name] = (schema, event)


def released(name: str, made: request.Request) -> None:
    """The request as rules 1 wrote it, without their number, and as later ones do."""
    sample(name, "Request", request.to_event(replace(made, rules=1)))
    for rules in range(2, request.RULES + 1):
        sample(f"{name}.rules{rules}", "Request", request.to_event(replace(made, rules=rules)))


for made in (
    replace(builders.create(1, "ana@example.org", externalId="X1"), **WAITED_FOR),
    a_request("member.replace", an_id(1), resource=builders.a_user(title="Captain")),
    a_request("member.patch", an_id(1), operations=(builders.replacing("active", False),)),
    a_request("member.delete", an_id(1)),
    a_request(
        "member.accept",
        an_id(1),
        invitation_id=an_id(101),
        invitation_expires=MOMENT,
        actor="invitation",
    ),
    a_request(
        "group.create",
        an_id(50),
        resource={"displayName": "Sailors"},
        members=request.MemberDelta(add=(an_id(1),)),
    ),
    a_request("group.replace", an_id(50), resource={"displayName": "Crew"}),
    a_request("group.patch", an_id(50), members=request.MemberDelta(remove=(an_id(1),))),
    a_request("group.delete", an_id(50)),
    builders.redrive(builders.create(1, "ana@example.org")),
    builders.redrive(builders.create(1, "ana@example.org"), kind="dead.discard"),
    a_request("member.erase", an_id(1), actor="operator"),
    a_request("organisation.delete", builders.ORGANISATION, actor="operator"),
):
    released(f"request.{made.kind}.v1", made)
for conditional in (
    a_request(
        "member.replace",
        an_id(1),
        resource=builders.a_user(title="Captain"),
        precondition=Precondition(if_match="*"),
    ),
    a_request(
        "member.patch",
        an_id(1),
        operations=(builders.replacing("active", False),),
        precondition=Precondition(if_match=(an_id(101), an_id(102))),
    ),
    a_request("member.delete", an_id(1), precondition=Precondition(if_match=())),
    a_request(
        "group.replace",
        an_id(50),
        resource={"displayName": "Crew"},
        precondition=Precondition(if_none_match=(an_id(150),)),
    ),
    a_request(
        "group.patch",
        an_id(50),
        members=request.MemberDelta(remove=(an_id(1),)),
        precondition=Precondition(if_match=(an_id(150),), if_none_match="*"),
    ),
    a_request("group.delete", an_id(50), precondition=Precondition(if_match=(an_id(150),))),
):
    released(f"request.{conditional.kind}.v2", conditional)
for asked in (
    builders.create(1, "ana@example.org", externalId="X1"),
    a_request("member.patch", an_id(1), operations=(builders.replacing("externalId", "X2"),)),
    a_request("group.replace", an_id(50), resource={"displayName": "Crew", "externalId": "G1"}),
):
    unique = replace(asked, settings=request.Settings(unique_external_ids=True), rules=2)
    sample(
        f"request.{asked.kind}.v1.rules2.unique_external_ids", "Request", request.to_event(unique)
    )
for number, fact in enumerate([*sorted(outcome.FACTS - {*ADDED}), *ADDED]):
    sample(
        f"outcome.{fact}.v1",
        "Outcome",
        outcome.to_event(
            outcome.Announcement(
                outcome.outcome_id(an_id(100), number),
                an_id(100),
                outcome.Sequence(0, 41, number),
                MOMENT,
                outcome.Outcome(
                    fact,  # type: ignore[arg-type]
                    builders.ORGANISATION,
                    an_id(1),
                    ("active",) if fact == "member.changed" else (),
                    {"from": "invited"} if fact == "member.revoked" else {},
                ),
            )
        ),
    )
sample(
    "reply.v1",
    "Reply",
    reply.to_event(
        reply.Reply(
            an_id(100),
            200,
            resource_id=an_id(1),
            version=an_id(100),
            created=envelope.format_time(MOMENT),
            last_modified=envelope.format_time(MOMENT),
            resource=builders.a_user(),
            groups=((an_id(50), "Sailors"),),
            backlog=2,
        ),
        event_id=an_id(200),
        time=MOMENT,
    ),
)
sample(
    "reply.parked.v1",
    "Reply",
    reply.to_event(
        reply.Reply(an_id(100), 202, resource_id=an_id(1), is_parked=True),
        event_id=an_id(203),
        time=MOMENT,
    ),
)
sample(
    "working.v1",
    "Working",
    reply.working_to_event(
        reply.Working(partition=3, records=41, size_bytes=5_242_880, batch_id=an_id(100)),
        event_id=an_id(204),
        time=MOMENT,
    ),
)
sample(
    "mark.v1",
    "Mark",
    reply.mark_to_event(event_id=an_id(205), partition=3, time=MOMENT),
)
sample(
    "request.member.create.v1.answered",
    "Request",
    request.to_event(
        replace(builders.create(1, "ana@example.org"), **WAITED_FOR, is_answered=True, rules=2)
    ),
)
sample(
    "request.member.create.v1.promised",
    "Request",
    request.to_event(
        replace(builders.create(1, "ana@example.org"), **WAITED_FOR, promise="decision", rules=3)
    ),
)
sample(
    "outcome.request.rejected.told.v1",
    "Outcome",
    outcome.to_event(
        outcome.Announcement(
            outcome.outcome_id(an_id(100), 0),
            an_id(100),
            outcome.Sequence(0, 41, 0),
            MOMENT,
            outcome.mark_refused_after_success(
                outcome.Outcome(
                    "request.rejected",
                    builders.ORGANISATION,
                    an_id(1),
                    detail={"status": 409, "kind": "member.create", "endpoint": "Users"},
                )
            ),
        )
    ),
)
sample(
    "mail.sent.v1",
    "MailSent",
    mail.to_event(
        mail.MailSent(
            request_id=an_id(100),
            kind="invitation",
            organisation_id=builders.ORGANISATION,
            member_id=an_id(1),
            message_id="<1234@rollcall.example>",
            time=MOMENT,
        )
    ),
)
sample(
    "dead_letter.v1",
    "DeadLetter",
    dead_letter.to_event(
        dead_letter.Announcement(
            event_id=an_id(100),
            name="rollcall.requests/3/41",
            organisation_id=builders.ORGANISATION,
            resource_id=an_id(1),
            type="io.rollcall.request.member.create.v1",
            error_class="KeyError",
            attempts=1,
            topic="rollcall.requests",
            partition=3,
            offset=41,
            time=MOMENT,
        )
    ),
)
sample(
    "tenancy.organisation.v1",
    "Organisation",
    organisation.to_event(
        organisation.Organisation(builders.ORGANISATION, "Zeeburg", 3, MOMENT),
        event_id=an_id(201),
        time=MOMENT,
    ),
)
sample(
    "tenancy.organisation.v1.rate",
    "Organisation",
    organisation.to_event(
        organisation.Organisation(builders.ORGANISATION, "Zeeburg", 3, MOMENT, rate=50, burst=200),
        event_id=an_id(201),
        time=MOMENT,
    ),
)
sample(
    "tenancy.organisation.v1.unique_external_ids",
    "Organisation",
    organisation.to_event(
        organisation.Organisation(
            builders.ORGANISATION, "Zeeburg", 3, MOMENT, unique_external_ids=True
        ),
        event_id=an_id(201),
        time=MOMENT,
    ),
)
sample(
    "tenancy.organisation.v1.leaving",
    "Organisation",
    organisation.to_event(
        organisation.Organisation(
            builders.ORGANISATION, "Zeeburg", 3, MOMENT, scim_enabled=False, leaving=MOMENT
        ),
        event_id=an_id(201),
        time=MOMENT,
    ),
)
sample(
    "tenancy.key.v1",
    "ApiKey",
    organisation.to_event(
        organisation.ApiKey(
            "Ab3dEf6hIj9k", builders.ORGANISATION, "first", "0" * 64, MOMENT, None, None
        ),
        event_id=an_id(202),
        time=MOMENT,
    ),
)
sample(
    "tenancy.key.v2",
    "ApiKey",
    organisation.to_event(
        organisation.ApiKey(
            "Ab3dEf6hIj9k",
            builders.ORGANISATION,
            "first",
            "0" * 64,
            MOMENT,
            networks=("192.0.2.0/24", "2001:db8::/32"),
            scopes=("users:write", "groups:read"),
        ),
        event_id=an_id(203),
        time=MOMENT,
    ),
)
READERS: dict[str, Callable[[envelope.Event], object]] = {
    "request": request.from_event,
    "outcome": outcome.from_event,
    "reply": reply.from_event,
    "working": reply.working_from_event,
    "mark": lambda event: event.type == reply.MARK_TYPE,
    "dead_letter": dead_letter.from_event,
    "mail": mail.from_event,
    "tenancy": organisation.from_event,
}


def record(event: envelope.Event) -> dict[str, Any]:
    headers, value = envelope.encode(event)
    return {
        "headers": {name: raw.decode() for name, raw in headers},
        "value": orjson.loads(value),
    }


@pytest.mark.parametrize("name", SAMPLES)
def test_today_writes_what_was_released(name: str) -> None:
    """A released version is never changed: write the next one, and an upcaster."""
    golden = orjson.loads((GOLDEN / f"{name}.json").read_bytes())

    assert record(SAMPLES[name][1]) == golden


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_version_ever_released_is_read_today(path: Path) -> None:
    golden = orjson.loads(path.read_bytes())
    headers = [(name, text.encode()) for name, text in golden["headers"].items()]

    event = envelope.decode(headers, orjson.dumps(golden["value"]))

    assert READERS[path.stem.split(".")[0]](event)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_record_is_as_the_document_says(name: str) -> None:
    schema, event = SAMPLES[name]
    written = record(event)
    headers = "TenancyHeaders" if schema in ("Organisation", "ApiKey") else f"{schema}Headers"
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER

    jsonschema.validate(written["value"], asyncapi.schema_of(schema), format_checker=checker)
    jsonschema.validate(written["headers"], asyncapi.schema_of(headers), format_checker=checker)


def test_the_rate_of_an_organisation_has_the_bounds_that_the_document_says() -> None:
    properties = asyncapi.schema_of("Organisation")["properties"]

    assert properties["rate"]["minimum"] == organisation.LEAST_RATE
    assert properties["rate"]["maximum"] == organisation.MOST_RATE
    assert properties["burst"]["maximum"] == organisation.MOST_BURST


def test_a_record_that_is_not_as_the_document_says_is_noticed() -> None:
    written = record(SAMPLES["request.member.create.v1"][1])["value"]

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "password": "x"}, asyncapi.schema_of("Request"))


def test_every_kind_and_fact_has_a_golden_record() -> None:
    names = {path.stem for path in GOLDEN.glob("*.json")}

    assert {kind.removeprefix("io.rollcall.") for kind in request.types()} <= names
    assert {f"outcome.{fact}.v1" for fact in outcome.FACTS} <= names


@pytest.mark.parametrize("name", SAMPLES)
def test_a_foreign_reader_of_cloudevents_reads_the_same(name: str) -> None:
    event = SAMPLES[name][1]
    headers, value = envelope.encode(event)

    message = KafkaMessage(headers=dict(headers), key=None, value=value)
    foreign = from_binary_event(message, JSONFormat())

    assert foreign.get_id() == event.id
    assert foreign.get_type() == event.type
    assert foreign.get_source() == event.source
    assert foreign.get_subject() == event.subject
    assert foreign.get_time() == event.time
    assert foreign.get_data() == event.data
    for extension, text in event.extensions.items():
        assert foreign.get_extension(extension) == text


def test_the_document_bounds_rates_as_the_records_do() -> None:
    """The tenancy stands on the events, so the document cannot take its numbers from there."""
    written = asyncapi.schema_of("Organisation")["properties"]

    assert written["rate"]["minimum"] == organisation.LEAST_RATE
    assert written["rate"]["maximum"] == organisation.MOST_RATE
    assert written["burst"]["maximum"] == organisation.MOST_BURST


def test_the_published_document_is_the_code_s() -> None:
    published = yaml.safe_load((Path(generate.__file__).parent / "asyncapi.yaml").read_text())

    assert published == asyncapi.document()
