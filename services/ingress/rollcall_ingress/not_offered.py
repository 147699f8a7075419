"""What RFC 7644 describes and Rollcall does not offer: 501 with the reason, behind the key."""

from dataclasses import dataclass

from rollcall.runtime.clock import now
from rollcall.scim.errors import NotImplementedByServer
from rollcall_ingress.door.answer import Answer
from rollcall_ingress.door.authenticate import Authenticator
from rollcall_ingress.door.routes import Arrival

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class NotOffered:
    """Serves every method of one endpoint with the same answer; no body is read."""

    authenticator: Authenticator
    detail: str

    async def __call__(self, arrival: Arrival) -> Answer:
        """Raises NotImplementedByServer, after whatever the key is refused for."""
        await self.authenticator.authenticate(
            arrival.http.headers.getall("Authorization", ()),
            arrival.target.organisation,
            is_write=False,
            at=now(),
        )
        raise NotImplementedByServer(self.detail)
