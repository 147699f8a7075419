"""The SCIM client of the tests: one call, one answer. No test in here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

SCIM = {"Content-Type": "application/scim+json"}
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: Any
    headers: Mapping[str, str]
    """By any letter case."""

    @property
    def is_pending(self) -> bool:
        """Whether it was given before the change was applied."""
        return self.headers.get("Rollcall-Outcome") == "pending"


@dataclass(frozen=True, slots=True)
class Client:
    """Speaks SCIM like an identity provider; bodies are JSON values or raw bytes."""

    session: aiohttp.ClientSession
    base: str

    async def call(self, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
        """One request below the organisation's base."""
        data = body if isinstance(body, bytes | None) else aiohttp.JsonPayload(body)
        sent = {
            name.replace("_", "-"): value for name, value in headers.items() if value is not None
        }
        async with self.session.request(
            method, self.base + path, data=data, headers=sent
        ) as answer:
            raw = await answer.read()
            parsed = await answer.json(content_type=None) if raw else None
            return Answer(answer.status, parsed, answer.headers)

    async def create_user(self, user_name: str, **attributes: Any) -> Answer:
        """POST /Users with one work address, unless said otherwise."""
        body = {
            "schemas": [USER],
            "userName": user_name,
            "active": True,
            "emails": [{"value": user_name, "type": "work", "primary": True}],
            **attributes,
        }
        return await self.call("POST", "/Users", body)

    async def patch(self, path: str, *operations: Json) -> Answer:
        """PATCH with these operations."""
        return await self.call("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)})
