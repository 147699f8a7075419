"""`python -m rollcall_notifier [--print-config]`: the notifier, until SIGTERM."""

from rollcall import service
from rollcall_notifier.app import build
from rollcall_notifier.config import NotifierSettings

if __name__ == "__main__":
    service.main("notifier", NotifierSettings, build)
