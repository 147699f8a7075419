"""`python -m services.provisioner`: settings → app → run → drain."""

import sys

from services.provisioner.app import WrongTopic, build
from services.provisioner.config import ProvisionerSettings
from shared.http.server import CannotListen, NoFastParser
from shared.kafka.watchdog import NoProgress
from shared.observability import logging
from shared.runtime import clock, lifecycle
from shared.runtime.config import load_or_exit


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
