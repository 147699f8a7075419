"""The HTTP answer to a request: from a reply, from the accepted request (pending), or an error.

| request | applied | pending |
|---|---|---|
| POST | 201 + representation | 201 + representation from the request |
| PUT | 200 + representation | 200 + representation from the request |
| PATCH User | 200 + representation | 204 |
| PATCH Group | 204 | 204 |
| PATCH with `attributes`, `excludedAttributes` or `Prefer: return=representation` | 200 | 200 |
| DELETE | 204 | 204 |
| any with `Prefer: return=minimal` and without `attributes` | 204 (POST 201, no body) | the same |

Pending answers are marked `Rollcall-Outcome: pending`. What waits behind a dead letter of the same
resource is answered in the same way, marked `Rollcall-Outcome: parked`. The body of a pending PATCH
is predicted (behind/foresee.py) before the request is published. Where that is not possible and the
partition is known to be behind, nothing is published. If the request becomes pending nevertheless,
it is accepted, so it is answered 204 and not with an error.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from rollcall.directory.members import initial_resource
from rollcall.events.bodies import Create, Delete, Patch, Replace
from rollcall.events.envelope import format_time
from rollcall.events.reply import Reply
from rollcall.events.request import Request
from rollcall.postgres.directory_search import Resource
from rollcall.scim.errors import NO_HEADERS, ScimError, from_parts
from rollcall.scim.etag import weak_etag
from rollcall.scim.prefer import Preferences
from rollcall.scim.schema import GROUP, USER, ResourceSchema
from rollcall_ingress.door.answer import OUTCOME, PENDING, Answer
from rollcall_ingress.read import show
from rollcall_ingress.read.show import Pairs, Times, View, representation

PREFERENCE_APPLIED: Final = "Preference-Applied"


def refusal(reply: Reply) -> ScimError:
    """The error of a reply whose status is 400 or more."""
    return from_parts(
        reply.status, reply.scim_type, reply.detail or "The change was refused.", reply.attribute
    )


def has_body(request: Request, view: View) -> bool:
    """Whether a decided change is answered with a representation.

    `attributes` says what to return (RFC 7644 §3.5.2), a preference only what would be nice.
    """
    if isinstance(request.body, Delete):
        return False
    if view.projection is not None:
        return True
    if view.returns is not None:
        return view.returns == "representation"
    return request.is_member or not isinstance(request.body, Patch)


def must_have_body(request: Request, view: View) -> bool:
    """Whether it is a PATCH that is answered with a representation also while it is pending."""
    return isinstance(request.body, Patch) and (
        view.projection is not None or view.returns == "representation"
    )


def applied(
    request: Request,
    reply: Reply,
    view: View,
    group: Resource | None,
    predicted: Resource | None = None,
) -> Answer:
    """The answer to a decided request; `reply.status` is below 400.

    `group` is what the directory says of a changed group, where that was read; otherwise the
    members are the predicted ones, or those that the request names.
    """
    if isinstance(request.body, Delete) or reply.resource is None or reply.version is None:
        return Answer(204)
    is_patch = isinstance(request.body, Patch)
    cannot_show = is_patch and not request.is_member and not (group or predicted)
    if cannot_show or not has_body(request, view):
        return _without_body(request, view, reply.version)
    status = 201 if isinstance(request.body, Create) else 200
    if group is not None:
        return show.answer(group, view, status=status)
    related: Pairs | None = reply.groups
    if not request.is_member:
        related = _named(request) if predicted is None else predicted.related
    document = show.whole(
        _schema(request), request.resource_id, _times(reply), reply.resource, view, related
    )
    return representation(document, reply.version, view, status)


def pending(
    request: Request, view: View, mark_as: str = PENDING, predicted: Resource | None = None
) -> Answer:
    """The answer while the request is not decided, from the request and its predicted result.

    `mark_as` is `PENDING` or `PARKED`.
    """
    body = request.body
    mark = {OUTCOME: mark_as}
    if isinstance(body, Patch) and predicted is not None:
        return _marked(show.answer(predicted, view), mark_as)
    if not isinstance(body, Create | Replace):
        return Answer(204, headers=mark)
    if not has_body(request, view):
        return _without_body(request, view, request.id, mark)
    moment = format_time(request.time)
    times = (moment, moment, request.id)
    resource = body.resource
    if request.is_member and isinstance(body, Create):
        resource = initial_resource(resource)
    document = show.whole(
        _schema(request), request.resource_id, times, resource, view, _named(request)
    )
    status = 201 if isinstance(body, Create) else 200
    return representation(document, request.id, view, status, mark)


def accepted(request: Request, found: Resource, view: View) -> Answer:
    """The answer to a pending POST or PUT whose resource was read back as it is accepted."""
    status = 201 if isinstance(request.body, Create) else 200
    return _marked(show.answer(found, view, status=status), PENDING)


def not_applied(given: Answer) -> Answer:
    """The answer with the mark that its change is decided, and not in Postgres yet."""
    return _marked(given, PENDING)


def with_preferences(given: Answer, request: Request, preferences: Preferences) -> Answer:
    """The answer with the preferences that it honours named (RFC 7240 §3).

    None of ours means anything for a DELETE: it has no body, and is answered without one.
    """
    is_representation = preferences.returns == "representation"
    value = preferences.applied(returns=bool(given.body) == is_representation)
    if value is None or isinstance(request.body, Delete):
        return given
    return replace(given, headers={**given.headers, PREFERENCE_APPLIED: value})


def _marked(given: Answer, mark_as: str) -> Answer:
    return replace(given, headers={**given.headers, OUTCOME: mark_as})


def _without_body(
    request: Request, view: View, version: str, more: Mapping[str, str] = NO_HEADERS
) -> Answer:
    """201 or 204: where it is and which version it has, and nothing else."""
    headers = {"ETag": weak_etag(version), **more}
    if not isinstance(request.body, Create):
        return Answer(204, headers=headers)
    headers["Location"] = f"{view.base_url}/{request.endpoint}/{request.resource_id}"
    return Answer(201, headers=headers)


def _named(request: Request) -> Pairs | None:
    if (delta := request.members) is None:
        return None
    return [(member_id, None) for member_id in delta.add]


def _schema(request: Request) -> ResourceSchema:
    return USER if request.is_member else GROUP


def _times(reply: Reply) -> Times:
    created = reply.created or reply.last_modified or ""
    return created, reply.last_modified or created, reply.version or ""
