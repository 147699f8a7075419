"""Errors of the protocol (RFC 7644 §3.12): one class per `scimType`, one per bare status.

`detail` is shown to the administrator of the identity provider, so it says what to change. A
class's docstring is its default detail. Details never quote a value, only names, because a value
may be personal data.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class ScimError(Exception):
    """The request cannot be served; see the attribute named and the service's documentation."""

    status: int = 400
    scim_type: str | None = None

    def __init__(
        self,
        detail: str | None = None,
        *,
        attribute: str | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.attribute = attribute
        self.headers = headers
        super().__init__(self.detail)

    def body(self) -> dict[str, Any]:
        """The Error message of RFC 7644 §3.12, in which `status` is text."""
        body: dict[str, Any] = {
            "schemas": [ERROR_URN],
            "status": str(self.status),
            "detail": self.detail,
        }
        if self.scim_type is not None:
            body["scimType"] = self.scim_type
        return body


class InvalidFilter(ScimError):
    """The filter cannot be read; write it as `attribute operator "value"` (RFC 7644 §3.4.2.2)."""

    scim_type = "invalidFilter"


class Uniqueness(ScimError):
    """Another resource of this organisation has this value; choose another or update that one."""

    status = 409
    scim_type = "uniqueness"


class Mutability(ScimError):
    """The attribute cannot be changed in this way; leave it out of the request."""

    scim_type = "mutability"


class InvalidSyntax(ScimError):
    """The body does not have the structure that this operation needs (RFC 7644 §3)."""

    scim_type = "invalidSyntax"


class InvalidPath(ScimError):
    """The path of a PATCH operation cannot be read; write it as in RFC 7644 §3.5.2."""

    scim_type = "invalidPath"


class NoTarget(ScimError):
    """The path of a PATCH operation names nothing that it could work on."""

    scim_type = "noTarget"


class InvalidValue(ScimError):
    """A required value is missing, or a value is not of the kind that the attribute takes."""

    scim_type = "invalidValue"


class InvalidVers(ScimError):
    """This version of SCIM is not spoken here; use /v2."""

    scim_type = "invalidVers"


class Unauthorized(ScimError):
    """The API key is missing or not valid here; send `Authorization: Bearer` with a current key."""

    status = 401


class Forbidden(ScimError):
    """SCIM is switched off for this organisation; switch it on in its settings."""

    status = 403


class OtherNetwork(Forbidden):
    """This API key may not be used from this address; add its network to the key's, or ask who may.

    The address is the one that the server sees, or that a proxy it trusts names.
    """

    status = 403


class OutOfScope(Forbidden):
    """This API key may not do this; widen what the key may do, or use another one."""

    status = 403


class NotFound(ScimError):
    """There is no such resource in this organisation; look it up by a filter first."""

    status = 404


class MethodNotAllowed(ScimError):
    """The endpoint does not know this method; the `Allow` header lists those that it knows."""

    status = 405

    def __init__(self, allow: tuple[str, ...] = (), detail: str | None = None) -> None:
        super().__init__(detail, headers={"Allow": ", ".join(allow)})


class PreconditionFailed(ScimError):
    """The resource has changed since this version; read it again and repeat the request."""

    status = 412


class PayloadTooLarge(ScimError):
    """The body is larger than the limit; send fewer values in one request."""

    status = 413


class UnsupportedMediaType(ScimError):
    """The body must be `Content-Type: application/scim+json` or `application/json`."""

    status = 415


class TooManyRequests(ScimError):
    """Too many requests in a short time; repeat this one after the time in `Retry-After`."""

    status = 429

    def __init__(self, retry_after_s: int = 1, detail: str | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class Internal(ScimError):
    """The server made a mistake; tell its operator the request id of this answer."""

    status = 500


class NotImplementedByServer(ScimError):
    """This part of SCIM is not offered here; ServiceProviderConfig lists what is."""

    status = 501


class ServiceUnavailable(ScimError):
    """The service cannot accept this at the moment; repeat it after the time in `Retry-After`."""

    status = 503

    def __init__(self, retry_after_s: int = 30, detail: str | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


_OURS = tuple(ScimError.__subclasses__())
_BY_TYPE = {error.scim_type: error for error in _OURS if error.scim_type is not None}
_BY_STATUS = {error.status: error for error in _OURS if error.scim_type is None}


def from_parts(
    status: int, scim_type: str | None, detail: str, attribute: str | None = None
) -> ScimError:
    """The error that a reply's parts describe; an unknown status or type is kept as it is."""
    known = _BY_TYPE.get(scim_type) if scim_type is not None else _BY_STATUS.get(status)
    error = (known or ScimError).__new__(known or ScimError)
    ScimError.__init__(error, detail, attribute=attribute)
    error.status = status
    error.scim_type = scim_type
    if status in (429, 503):
        error.headers = {"Retry-After": "1" if status == 429 else "30"}
    return error
