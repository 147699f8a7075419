"""What RFC 7644 describes and Rollcall does not offer: 501 with the reason, behind the key."""

from dataclasses import dataclass

from services.ingress.answer import Answer
from services.ingress.authenticate import Authenticator
from services.ingress.routes import Arrival
from shared.runtime.clock import now
from shared.scim.errors import NotImplementedByServer

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
