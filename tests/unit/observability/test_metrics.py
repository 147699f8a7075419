"""A service gives out its own series and those that name no service, and nobody else's."""

from typing import get_args

from prometheus_client import REGISTRY

from rollcall.observability.metrics import OfService, Service


def test_every_series_is_given_out_by_its_service_or_by_all() -> None:
    everything = {family.name for family in REGISTRY.collect()}
    given = {
        service: {family.name for family in OfService(service).collect()}
        for service in get_args(Service)
    }

    assert set.union(*given.values()) == everything
    for service, names in given.items():
        others = tuple(f"rollcall_{each}_" for each in given if each != service)
        assert not [name for name in names if name.startswith(others)]
        assert {name for name in everything if name.startswith(f"rollcall_{service}_")} <= names
        assert "rollcall_halted_partitions" in names
