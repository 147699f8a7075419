"""How many requests a second an organisation may send, where its record sets a rate.

The generic cell rate algorithm (ITU-T I.371, Annex A) keeps one number for each organisation: the
moment at which its next request would be due if it came as evenly as the rate says. A request may
come before that moment by as much as the burst allows, and moves it on by one interval; one that
comes earlier is refused, moves nothing, and learns how long to wait. There is no queue and no
timer. Each replica counts for itself, so an organisation whose requests are spread over n replicas
may send up to n times its rate.
"""

from collections.abc import Callable

from rollcall.observability.metrics import INGRESS_REFUSALS
from rollcall.runtime import rate
from rollcall.runtime.rate import SECOND_NS
from rollcall.scim.errors import TooManyRequests
from rollcall.tenancy.organisation import Organisation


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
            INGRESS_REFUSALS.labels("rate").inc()
            raise TooManyRequests(
                max(1, -(-wait_ns // SECOND_NS)),
                f"The organisation sends more than {allowed} requests a second, or more than "
                f"{burst} at once; send them more slowly, and this one after the time in "
                "`Retry-After`.",
            )

    def wait_ns(self, organisation_id: str, *, rate: int, burst: int) -> int:
        """0 if a request may come now, which is counted; else after how many nanoseconds it may."""
        now_ns = self._clock_ns()
        interval_ns = SECOND_NS // rate
        due_ns = max(self._due_ns.get(organisation_id, now_ns), now_ns)
        # A rate or a burst that was lowered takes effect at once, also on what is counted.
        due_ns = min(due_ns, now_ns + burst * interval_ns)
        wait_ns = due_ns - (burst - 1) * interval_ns - now_ns
        if wait_ns > 0:
            return wait_ns
        if len(self._due_ns) >= MOST_REMEMBERED and organisation_id not in self._due_ns:
            self._forget_idle(now_ns)
        self._due_ns[organisation_id] = due_ns + interval_ns
        return 0

    def _forget_idle(self, now_ns: int) -> None:
        """Drop organisations whose due time has passed."""
        self._due_ns = {name: due for name, due in self._due_ns.items() if due > now_ns}
