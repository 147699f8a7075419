"""What follows the requests of a listener from their heads to the ends of their answers."""

from typing import Final, Literal, Protocol

from aiohttp import web

Ending = Literal["sent", "client_gone", "cut_off"]
"""How a request ended: its answer was written, its client was gone before that, or a drain or an
error ended it without an answer."""


class Observer(Protocol):
    """Follows each request of a listener, those included that are no valid HTTP.

    The three are called in this order and in one task, which is the request's own: what `begin`
    sets in the context is seen by everything that is done for the request.
    """

    def begin(self, request: web.BaseRequest) -> None:
        """Its head was read."""

    def stamp(self, response: web.StreamResponse) -> None:
        """The headers of its answer are about to be written."""

    def end(
        self, request: web.BaseRequest, response: web.StreamResponse | None, ending: Ending
    ) -> None:
        """Nothing more is written for it; `response` is None where there is no answer."""


class Unobserved:
    """Follows nothing."""

    def begin(self, request: web.BaseRequest) -> None:
        """Do nothing."""

    def stamp(self, response: web.StreamResponse) -> None:
        """Do nothing."""

    def end(
        self, request: web.BaseRequest, response: web.StreamResponse | None, ending: Ending
    ) -> None:
        """Do nothing."""


UNOBSERVED: Final = Unobserved()
