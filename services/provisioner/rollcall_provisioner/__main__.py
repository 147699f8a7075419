"""`python -m rollcall_provisioner`: settings → app → run → drain."""

import sys

from rollcall.http.server import CannotListen, NoFastParser
from rollcall.kafka.watchdog import NoProgress
from rollcall.observability import logging
from rollcall.runtime import clock, lifecycle
from rollcall.runtime.config import load_or_exit
from rollcall_provisioner.app import WrongTopic, build
from rollcall_provisioner.config import ProvisionerSettings


async def main(settings: ProvisionerSettings) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = lifecycle.stop_on_signals()
    provisioner = await build(settings)
    await provisioner.run(stop)


if __name__ == "__main__":
    settings = load_or_exit(ProvisionerSettings, sys.argv[1:])
    clock.set_offset(settings.clock_offset_s)
    logging.configure("provisioner", level=settings.log_level, log_format=settings.log_format)
    try:
        lifecycle.run(main(settings))
    except (WrongTopic, CannotListen, NoFastParser, NoProgress) as error:
        sys.exit(f"rollcall provisioner: {error}")
