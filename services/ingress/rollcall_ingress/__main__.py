"""`python -m rollcall_ingress`: settings → app → serve → drain. Status 2: settings."""

import sys

from rollcall.http.server import CannotListen, NoFastParser
from rollcall.observability import logging
from rollcall.runtime import clock, lifecycle
from rollcall.runtime.config import load_or_exit
from rollcall_ingress.app import PartFailed, run
from rollcall_ingress.config import IngressSettings


def main() -> None:
    """Run the service to its end."""
    settings = load_or_exit(IngressSettings, sys.argv[1:])
    clock.set_offset(settings.clock_offset_s)
    logging.configure("ingress", level=settings.log_level, log_format=settings.log_format)

    async def serve() -> None:
        await run(settings, lifecycle.stop_on_signals())

    try:
        lifecycle.run(serve())
    except (CannotListen, NoFastParser, PartFailed) as error:
        print(f"ingress: {error or type(error).__doc__}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
