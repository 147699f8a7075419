"""`python -m rollcall_console [--print-config]`: the console, until SIGTERM."""

from rollcall import service
from rollcall_console.app import build
from rollcall_console.config import ConsoleSettings

if __name__ == "__main__":
    service.main("console", ConsoleSettings, build)
