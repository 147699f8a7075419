"""The door authenticates each request once, before it says anything about the address."""

from dataclasses import dataclass, field
from datetime import datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from rollcall.observability.metrics import INGRESS_REFUSALS
from rollcall_ingress.door.admission import Admission, Bounds
from rollcall_ingress.door.answer import Answer
from rollcall_ingress.door.authenticate import Authenticator, StaleAfter
from rollcall_ingress.door.edge import Door
from rollcall_ingress.door.key_use import KeyUse
from rollcall_ingress.door.rate import Rates
from rollcall_ingress.door.routes import SEARCH, Arrival, Route
from tests.support.builders import ORGANISATION
from tests.unit.ingress.tenants import Reader, a_directory, a_key, a_key_text, an_organisation

READ_S, WRITE_S = 900.0, 15.0


@dataclass(slots=True)
class Used(KeyUse):
    """Key uses as the door notes them; nothing is written anywhere."""

    ids: list[str] = field(default_factory=list)

    def note(self, public_id: str, at: datetime) -> None:
        self.ids.append(public_id)


@dataclass(slots=True)
class Handler:
    """Says that it was called, and with what."""

    arrivals: list[Arrival] = field(default_factory=list)

    async def __call__(self, arrival: Arrival) -> Answer:
        self.arrivals.append(arrival)
        return Answer(204)


@dataclass(slots=True)
class Scene:
    """A door with two routes, and what reaches their handler."""

    age_s: float = 0.0
    handler: Handler = field(default_factory=Handler)
    used: Used = field(default_factory=Used)

    async def ask(self, method: str, path: str, key: str | None = a_key_text()) -> web.Response:
        """The answer to a request below the organisation's base."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        request = make_mocked_request(method, f"/v2/{ORGANISATION}{path}", headers=headers)
        return await self._door().handle(request)

    def _door(self) -> Door:
        directory = a_directory(an_organisation(), a_key(), reader=Reader(age_s=self.age_s))
        serve = self.handler
        routes = (
            Route("Users", False, {"GET": serve}, {"POST": serve}),
            Route(f"Users/{SEARCH}", False, {"POST": serve}),
        )
        return Door(
            routes,
            Authenticator(directory, StaleAfter(READ_S, WRITE_S), Rates(lambda: 0)),
            self.used,
            Admission(Bounds(requests=10, bytes=1000, body_bytes=100, body_timeout_s=1)),
        )


ADDRESSES = [
    ("GET", "/Users", 204),
    ("HEAD", "/Users", 204),
    ("POST", "/Users", 204),
    ("POST", "/Users/.search", 204),
    ("PUT", "/Users", 405),
    ("BREW", "/Users", 405),
    ("GET", "/Nothing", 404),
    ("GET", "/Users/1/2", 404),
    ("GET", "", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), ADDRESSES)
async def test_the_use_of_a_key_is_noted_once_whatever_the_address(
    method: str, path: str, status: int
) -> None:
    scene = Scene()

    response = await scene.ask(method, path)

    assert response.status == status
    assert scene.used.ids == [a_key().public_id]
    assert len(scene.handler.arrivals) == (status == 204)
    for arrival in scene.handler.arrivals:
        assert arrival.principal.organisation.id == ORGANISATION


@pytest.mark.parametrize("key", [None, "rc_wrong", a_key_text(2)])
async def test_without_a_key_no_address_differs_by_a_byte(key: str | None) -> None:
    scene = Scene()

    answers = {
        (response.status, str(response.body), tuple(response.headers.items()))
        for method, path, _ in ADDRESSES
        if (response := await scene.ask(method, path, key)) and method != "HEAD"
    }

    assert len(answers) == 1
    assert answers.pop()[0] == 401
    assert scene.used.ids == []
    assert scene.handler.arrivals == []


async def test_only_what_writes_asks_for_keys_confirmed_lately() -> None:
    """A search is a POST, and a read."""
    scene = Scene(age_s=WRITE_S + 1)
    before = INGRESS_REFUSALS.labels("keys_stale")._value.get()

    statuses = [(await scene.ask(method, path)).status for method, path, _ in ADDRESSES]

    assert statuses == [503 if case[:2] == ("POST", "/Users") else case[2] for case in ADDRESSES]
    assert INGRESS_REFUSALS.labels("keys_stale")._value.get() - before == 1
