"""What the id and the line of a request cost: `python -m benchmarks.access_line [REQUESTS]`.

Claim: both together take less than a tenth of a millisecond of a request. Three ways in one run, in
processor time of this process, with lines that go to /dev/null: not at all, the id alone (the level
is `warning`), both.
"""

import os
import sys
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Literal

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from rollcall.http.observer import UNOBSERVED, Observer
from rollcall.observability.logging import configure, get_logger
from rollcall_ingress.door import access
from rollcall_ingress.door.access import AccessLog

ORGANISATION = "01a22e88-6651-77cc-802a-34181f6f6073"


def serve(observer: Observer) -> Callable[[], None]:
    """One request as the listener follows it, with what the door fills in, and no work besides."""
    request = make_mocked_request("PATCH", f"/v2/{ORGANISATION}/Users/{ORGANISATION}")
    response = web.Response(status=204)

    def one() -> None:
        observer.begin(request)
        if observer is not UNOBSERVED:
            line = access.line()
            line.route = "/v2/{organisation}/Users/{id}"
            line.organisation_id, line.key_id = ORGANISATION, "0123456789AB"
        observer.stamp(response)
        observer.end(request, response, "sent")

    return one


def microseconds(observer: Observer, requests: int) -> float:
    """Processor time of one request."""
    one = serve(observer)
    began_s = time.process_time()
    for _ in range(requests):
        copy_context().run(one)  # each request has a context of its own
    return (time.process_time() - began_s) / requests * 1e6


def main() -> None:
    """Measure, and print a row each."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    shown = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    levels: tuple[Literal["warning", "info"], ...] = ("warning", "info")
    bare = microseconds(UNOBSERVED, requests)
    print(f"nothing          {bare:6.1f} µs a request", file=shown)
    for level in levels:
        configure("ingress", level=level, log_format="json")
        access.log = get_logger()  # the other level's is kept from its first use on
        took = microseconds(AccessLog(), requests) - bare
        what = "id and line" if level == "info" else "id, no line"
        print(f"{what:<16} {took:6.1f} µs a request", file=shown)


if __name__ == "__main__":
    main()
