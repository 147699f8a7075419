"""How many requests a second an organisation may send, where its record sets a rate.

A request beyond the rate and the burst is refused, is not counted, and its answer says how long to
wait. Each replica counts for itself, so an organisation whose requests are spread over n replicas
may send up to n times its rate.
"""

from collections.abc import Callable

from rollcall.runtime import rate
from rollcall.runtime.rate import SECOND_NS
from rollcall.scim.errors import TooManyRequests
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.door.access import count_refusal


class Rates:
    """Judges requests as they come. One per process; `clock_ns` is monotonic, in nanoseconds."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._rates: rate.Rates[str] = rate.Rates()

    def check(self, organisation: Organisation) -> None:
        """Count one request of the organisation. Raises TooManyRequests: it is not counted."""
        allowed = organisation.rate
        if allowed is None:
            return
        burst = organisation.burst if organisation.burst is not None else allowed
        wait_ns = self._rates.take(organisation.id, self._clock_ns(), rate=allowed, burst=burst)
        if wait_ns:
            count_refusal("rate")
            raise TooManyRequests(
                max(1, -(-wait_ns // SECOND_NS)),
                f"The organisation sends more than {allowed} requests a second, or more than "
                f"{burst} at once; send them more slowly, and this one after the time in "
                "`Retry-After`.",
            )
