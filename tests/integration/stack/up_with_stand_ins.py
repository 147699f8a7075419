"""`rollcall …` with stand-ins for the services, so that only the supervisor is tried."""

import sys
from pathlib import Path

from rollcall_local.stack import plan
from rollcall_operator import cli
from rollcall_operator.commands import up


def _command(name: str) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("stand_in.py")), name]


if __name__ == "__main__":
    plan.service_command = _command
    up.SUPERVISOR = (sys.executable, "-m", "tests.integration.stack.up_with_stand_ins")
    cli.main()
