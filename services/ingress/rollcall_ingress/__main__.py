"""`python -m rollcall_ingress [--print-config]`: ingress, until SIGTERM."""

from rollcall import service
from rollcall_ingress.app import build
from rollcall_ingress.config import IngressSettings

if __name__ == "__main__":
    service.main("ingress", IngressSettings, build)
