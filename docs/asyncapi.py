"""The contract as an AsyncAPI 3.0 document: topics, messages, JSON Schemas of headers and data.

`docs/asyncapi.yaml` is written from here (`make docs`); tests check real records against it, so a
downstream team can rely on the document without reading our code.
"""

from typing import Any, Final

from rollcall.events import dead_letter, mail, outcome, reply, request
from rollcall.events.topics import Topics
from rollcall.tenancy.limits import SCOPES

Json = dict[str, Any]

UUID: Final[Json] = {"type": "string", "format": "uuid"}
TEXT: Final[Json] = {"type": "string"}
TIME: Final[Json] = {"type": "string", "format": "date-time"}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}
NUMBER_TEXT: Final[Json] = {"type": "string", "pattern": "^[0-9]+$"}
RESOURCE: Final[Json] = {"type": "object", "description": "canonical SCIM attributes (RFC 7643)"}


def document() -> Json:
    """The AsyncAPI document of all topics, with the default prefix."""
    topics = Topics()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Rollcall events",
            "version": "1.0.0",
            "description": (
                "CloudEvents 1.0 in Kafka's binary content mode: attributes are `ce_` headers, "
                "the value is the data as JSON. Types carry their version; readers accept every "
                "version within retention."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "requests": _channel(topics.requests, "Accepted operations, in order", "Request"),
            "outcomes": _channel(
                topics.outcomes, "What became of requests; which mails left", "Outcome", "MailSent"
            ),
            "replies": _channel(
                topics.replies, "Answers to waiting requests", "Reply", "Working", "Mark"
            ),
            "dead": _channel(topics.dead, "Announcements of dead letters", "DeadLetter"),
            "tenancy": _channel(topics.tenancy, "Organisations and keys", "Organisation", "ApiKey"),
        },
        "operations": {
            "publishRequest": _operation("send", "requests"),
            "applyRequest": _operation("receive", "requests"),
            "announceOutcome": _operation("send", "outcomes"),
            "tellOfMail": _operation("send", "outcomes"),
            "answerRequest": _operation("send", "replies"),
            "announceDeadLetter": _operation("send", "dead"),
            "recordTenancy": _operation("send", "tenancy"),
        },
        "components": {
            "messages": {
                "Request": _message("Request", "RequestHeaders"),
                "Outcome": _message("Outcome", "OutcomeHeaders"),
                "MailSent": _message("MailSent", "MailSentHeaders"),
                "Reply": _message("Reply", "ReplyHeaders"),
                "Working": _message("Working", "WorkingHeaders"),
                "Mark": _message("Mark", "MarkHeaders"),
                "DeadLetter": _message("DeadLetter", "DeadLetterHeaders"),
                "Organisation": _message("Organisation", "TenancyHeaders"),
                "ApiKey": _message("ApiKey", "TenancyHeaders"),
            },
            "schemas": _schemas(),
        },
    }


def schema_of(name: str) -> Json:
    """A schema of the document that stands alone, for validators."""
    return {**_schemas()[name], "$defs": {}}


def _schemas() -> Json:
    return {
        "Request": _object(
            {
                "organisation_id": UUID,
                "resource_id": UUID,
                "actor": {
                    **TEXT,
                    "description": "`key:PUBLIC_ID`, `invitation`, `operator`, `account:ID`",
                },
                "settings": _object(
                    {
                        "profile": {"enum": ["compatible", "interop"]},
                        "unique_group_names": {"type": "boolean"},
                        "confirm_on_accept": {"type": "boolean"},
                    },
                    required=["profile", "unique_group_names", "confirm_on_accept"],
                ),
                "rules": {
                    **COUNT,
                    "description": "the rules that decide it; 1 where it is absent. More than a "
                    "reader knows halts its partition",
                },
                "unique_external_ids": {
                    "const": True,
                    "description": "the organisation's setting, where it is on: nobody is given "
                    "an `externalId` that another one has. Under rules 1 that holds always",
                },
                "resource": RESOURCE,
                "operations": {
                    "type": "array",
                    "items": _object(
                        {"op": {"enum": ["add", "replace", "remove"]}, "path": TEXT, "value": {}},
                        required=["op", "path"],
                    ),
                },
                "members": _object(
                    {
                        "clear": {"type": "boolean"},
                        "add": {"type": "array", "items": TEXT},
                        "remove": {"type": "array", "items": TEXT},
                    },
                    required=["clear", "add", "remove"],
                ),
                "user_name_key": TEXT,
                "display_name_key": TEXT,
                "invitation_id": UUID,
                "invitation_expires": {**COUNT, "description": "epoch milliseconds"},
                "dead_letter": {**TEXT, "description": "`topic/partition/offset`"},
                "dead_endpoint": {"enum": ["Users", "Groups"]},
                "precondition": _precondition(),
            },
            required=["organisation_id", "resource_id", "actor", "settings"],
        ),
        "RequestHeaders": _headers(
            {
                "ce_type": {"enum": request.types()},
                "ce_acceptby": {**NUMBER_TEXT, "description": "epoch ms; later copies expire"},
                "ce_answerby": {**NUMBER_TEXT, "description": "epoch ms; until then one waits"},
                "ce_answered": {
                    "const": "1",
                    "description": "answered with success before the decision, in spite of replyto",
                },
                "ce_promise": {
                    "const": "decision",
                    "description": (
                        "the sender is answered with the decision, or that it is not known; "
                        "a refusal takes nothing back"
                    ),
                },
                "ce_replyto": {**NUMBER_TEXT, "description": "partition of the replies topic"},
                "ce_causationid": {**UUID, "description": "id of the event that is dead"},
            },
        ),
        "Outcome": _object(
            {
                "organisation_id": UUID,
                "resource_id": UUID,
                "attributes": {"type": "array", "items": TEXT},
                "detail": {
                    "type": "object",
                    "description": (
                        "what else the fact says; `told: true` of a rejection: the request had "
                        "been answered with success"
                    ),
                },
            },
            required=["organisation_id", "resource_id"],
        ),
        "OutcomeHeaders": _headers(
            {
                "ce_type": {
                    "enum": sorted(f"{outcome.TYPE_PREFIX}{fact}.v1" for fact in outcome.FACTS)
                },
                "ce_causationid": {**UUID, "description": "id of the request"},
                "ce_sequence": {**TEXT, "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$"},
            },
            required=["ce_causationid", "ce_sequence"],
        ),
        "MailSent": _object(
            {
                "organisation_id": UUID,
                "member_id": UUID,
                "kind": {"enum": ["invitation", "revocation", "restoration"]},
                "message_id": {**TEXT, "description": "Message-ID of the mail"},
            },
            required=["organisation_id", "member_id", "kind", "message_id"],
        ),
        "MailSentHeaders": _headers(
            {
                "ce_type": {"const": mail.TYPE},
                "ce_causationid": {**UUID, "description": "id of the request that caused it"},
            },
            required=["ce_causationid"],
        ),
        "Reply": _object(
            {
                "status": {"type": "integer", "minimum": 200, "maximum": 599},
                "backlog": COUNT,
                "scim_type": TEXT,
                "detail": TEXT,
                "attribute": TEXT,
                "resource_id": UUID,
                "version": UUID,
                "created": TIME,
                "last_modified": TIME,
                "resource": RESOURCE,
                "is_parked": {"const": True, "description": "waits behind a dead letter"},
                "groups": {
                    "type": "array",
                    "items": {"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2},
                },
            },
            required=["status", "backlog"],
        ),
        "ReplyHeaders": _headers(
            {"ce_type": {"const": "io.rollcall.reply.v1"}, "ce_causationid": UUID},
            required=["ce_causationid"],
        ),
        "Working": _object(
            {"partition": COUNT, "records": COUNT, "size_bytes": COUNT},
            required=["partition", "records", "size_bytes"],
        ),
        "WorkingHeaders": _headers(
            {
                "ce_type": {"const": reply.WORKING_TYPE},
                "ce_causationid": {**UUID, "description": "id of the batch's first request"},
            },
            required=["ce_causationid"],
        ),
        "Mark": _object({}, required=[]),
        "MarkHeaders": _headers({"ce_type": {"const": reply.MARK_TYPE}}),
        "DeadLetter": _object(
            {
                "event_id": UUID,
                "organisation_id": {"type": ["string", "null"], "format": "uuid"},
                "resource_id": {"type": ["string", "null"]},
                "type": {**TEXT, "description": "type of the event that failed"},
                "error_class": TEXT,
                "attempts": COUNT,
                "topic": TEXT,
                "partition": COUNT,
                "offset": COUNT,
            },
            required=["event_id", "type", "error_class", "topic", "partition", "offset"],
        ),
        "DeadLetterHeaders": _headers(
            {"ce_type": {"const": dead_letter.TYPE}, "ce_causationid": UUID},
            required=["ce_causationid"],
        ),
        "Organisation": _object(
            {
                "id": UUID,
                "name": TEXT,
                "partition": COUNT,
                "created": TIME,
                "scim_enabled": {"type": "boolean"},
                "profile": {"enum": ["compatible", "interop"]},
                "unique_group_names": {"type": "boolean"},
                "confirm_on_accept": {"type": "boolean"},
                "language": {"enum": ["en", "nl"]},
                "rate": {"type": "integer", "minimum": 25, "maximum": 100_000},
                "burst": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
                "leaving": {**TIME, "description": "when its deletion began"},
                "unique_external_ids": {"type": "boolean"},
            },
            required=["id", "name", "partition", "created"],
        ),
        "ApiKey": _object(
            {
                "public_id": TEXT,
                "organisation_id": UUID,
                "name": TEXT,
                "sha256": {**TEXT, "pattern": "^[0-9a-f]{64}$"},
                "created": TIME,
                "expires": {"type": ["string", "null"], "format": "date-time"},
                "revoked": {"type": ["string", "null"], "format": "date-time"},
                "networks": {
                    "type": "array",
                    "items": TEXT,
                    "description": "of version 2 only: where it may be used from, CIDR",
                },
                "scopes": {
                    "type": "array",
                    "items": {"enum": list(SCOPES)},
                    "description": "of version 2 only: what it may do",
                },
            },
            required=["public_id", "organisation_id", "name", "sha256", "created"],
        ),
        "TenancyHeaders": _headers(
            {
                "ce_type": {
                    "enum": [
                        "io.rollcall.tenancy.key.v1",
                        "io.rollcall.tenancy.key.v2",
                        "io.rollcall.tenancy.organisation.v1",
                    ]
                },
                "ce_by": {
                    **TEXT,
                    "description": "who wrote it, where that is known: `account:ID` of the "
                    "console, `api-key:ID` of the admin API",
                },
            }
        ),
    }


def _precondition() -> Json:
    versions: Json = {"oneOf": [{"const": "*"}, {"type": "array", "items": UUID}]}
    found = _object({"if_match": versions, "if_none_match": versions}, required=[])
    return {
        **found,
        "minProperties": 1,
        "description": "of version 2 only, which is refused (412) unless it holds: versions named",
    }


def _object(properties: Json, *, required: list[str]) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _headers(own: Json, required: list[str] | None = None) -> Json:
    common: Json = {
        "ce_specversion": {"const": "1.0"},
        "ce_id": UUID,
        "ce_source": TEXT,
        "ce_subject": TEXT,
        "ce_time": TIME,
        "content-type": {"const": "application/json"},
        "traceparent": TEXT,
    }
    always = [name for name in common if name != "traceparent"]
    return _object({**common, **own}, required=[*always, "ce_type", *(required or [])])


def _channel(address: str, summary: str, *messages: str) -> Json:
    return {
        "address": address,
        "summary": summary,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _operation(action: str, channel: str) -> Json:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _message(payload: str, headers: str) -> Json:
    return {
        "name": payload,
        "headers": {"$ref": f"#/components/schemas/{headers}"},
        "payload": {"$ref": f"#/components/schemas/{payload}"},
    }
