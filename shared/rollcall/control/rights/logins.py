"""Logins of Kafka principals by SASL/SCRAM (RFC 5802), made by Kafka's own request (KIP-554).

The broker gets the salted password, never the password itself. The client library does not know
the request, so its form is here: AlterUserScramCredentials, version 0.
"""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, Final

from aiokafka.errors import ClusterAuthorizationFailedError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from rollcall.control.rights.bindings import MayNot
from rollcall.kafka.admin import admin_client, ask
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable

SHA_512: Final = 2
ITERATIONS: Final = 8192
"""Twice what Kafka asks for at least."""
_SALT_BYTES: Final = 32
_TIMEOUT_S: Final = 30.0


class _Answer(Response):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Struct(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Alter(Request[_Struct]):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY = 51

    def __init__(self, upsertions: list[tuple[Any, ...]]) -> None:
        self._upsertions = upsertions

    def build(self, request_struct_class: type[_Struct]) -> _Struct:
        return request_struct_class([], self._upsertions, {})


async def set_logins(settings: Settings, passwords: Mapping[str, str]) -> None:
    """Set the SCRAM-SHA-512 password of each of these users; other users keep theirs.

    Raises MayNot, Unavailable.
    """
    request = _Alter([_upsertion(name, password) for name, password in passwords.items()])
    async with admin_client(settings) as admin:
        answer = await ask(admin, request)
    for user, code, message, *_ in answer.results:
        if code and for_code(code) is ClusterAuthorizationFailedError:
            raise MayNot("this principal may not make logins")
        if code:
            raise Unavailable(f"Kafka (login of {user}: {for_code(code).__name__}: {message})")


def _upsertion(name: str, password: str) -> tuple[Any, ...]:
    salt = secrets.token_bytes(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode("ascii"), salt, ITERATIONS)
    return (name, SHA_512, ITERATIONS, salt, salted, {})
