"""Start the notifier: `python -m rollcall_notifier [--print-config]`."""

import sys

from rollcall.http.server import CannotListen
from rollcall.kafka.watchdog import NoProgress
from rollcall.observability.logging import configure
from rollcall.runtime import clock
from rollcall.runtime.config import load_or_exit
from rollcall.runtime.lifecycle import run, stop_on_signals
from rollcall_notifier.app import serve
from rollcall_notifier.config import NotifierSettings


async def _main(settings: NotifierSettings) -> None:
    await serve(settings, stop_on_signals())


def main() -> None:
    """Settings, logging, then serve until SIGTERM. Exit 2: settings; 1: the port is taken."""
    settings = load_or_exit(NotifierSettings, sys.argv[1:])
    clock.set_offset(settings.clock_offset_s)
    configure("notifier", level=settings.log_level, log_format=settings.log_format)
    try:
        run(_main(settings))
    except (CannotListen, NoProgress, ValueError) as error:
        print(f"rollcall notifier: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
