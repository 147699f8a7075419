"""`rollcall …` with stand-ins for the services, so that only the supervisor is tried."""

import sys
from pathlib import Path

from services.operator import cli
from services.operator.commands import up
from services.operator.stack import plan


def _command(name: str) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("stand_in.py")), name]


if __name__ == "__main__":
    plan.service_command = _command
    up.SUPERVISOR = (sys.executable, "-m", "tests.integration.stack.up_with_stand_ins")
    cli.main()
