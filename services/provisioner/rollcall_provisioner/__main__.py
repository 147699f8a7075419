"""`python -m rollcall_provisioner [--print-config]`: the provisioner, until SIGTERM."""

from rollcall import service
from rollcall_provisioner.app import build
from rollcall_provisioner.config import ProvisionerSettings

if __name__ == "__main__":
    service.main("provisioner", ProvisionerSettings, build)
