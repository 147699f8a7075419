"""Who may reach whom: what the policies allow is what the settings name, and nothing else."""

from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.support.deploy.manifests import OVERLAYS, Json, Manifests, Pod, built, selects

NEEDS = {
    "ingress": {"kafka", "postgres"},
    "provisioner": {"kafka", "postgres"},
    "notifier": {"kafka", "postgres", "smtp"},
    "console": {"kafka", "postgres", "issuers"},
    "operator": {"kafka", "postgres"},
    "release": {"kafka", "postgres"},
    "topics-check": {"kafka", "postgres"},
    "audit-months": {"kafka", "postgres"},
    "snapshot": {"kafka", "postgres"},
}
DNS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]


@dataclass(frozen=True, slots=True)
class Way:
    """From a pod to where it is allowed to: a peer as the policy has it, and a port."""

    peer: Json
    ports: list[Json]

    def is_names(self) -> bool:
        return self.ports == DNS


def everything(overlay: str) -> Manifests:
    """With the component that has a pod of its own."""
    return built(overlay, "snapshots")


def policies(manifests: Manifests, pod: Pod, direction: str) -> list[Json]:
    return [
        policy
        for policy in manifests.of("NetworkPolicy")
        if direction in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], pod.labels)
    ]


def ways_out(manifests: Manifests, pod: Pod) -> list[Way]:
    return [
        Way(peer, rule["ports"])
        for policy in policies(manifests, pod, "Egress")
        for rule in policy["spec"].get("egress", [])
        for peer in rule["to"]
    ]


def ways_in(manifests: Manifests, pod: Pod) -> list[Way]:
    return [
        Way(peer, rule["ports"])
        for policy in policies(manifests, pod, "Ingress")
        for rule in policy["spec"].get("ingress", [])
        for peer in rule["from"]
    ]


def addresses(manifests: Manifests, pod: Pod) -> dict[str, tuple[str, int]]:
    """What the settings of a pod of ours name: dependency → host and port (of the dev overlay)."""
    found = {}
    for container in pod.containers:
        environment = manifests.environment(container)
        host, _, port = environment["ROLLCALL_KAFKA_BOOTSTRAP"].split(",")[0].rpartition(":")
        found["kafka"] = (host, int(port))
        if "ROLLCALL_SMTP_HOST" in environment:
            found["smtp"] = (
                environment["ROLLCALL_SMTP_HOST"],
                int(environment["ROLLCALL_SMTP_PORT"]),
            )
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whatever_is_not_allowed_is_denied(overlay: str) -> None:
    denying = everything(overlay).named("NetworkPolicy", "rollcall-default-deny")["spec"]

    assert denying == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_policy_opens_a_way_to_or_from_everybody(overlay: str) -> None:
    manifests = everything(overlay)
    for pod in manifests.pods():
        for way in [*ways_out(manifests, pod), *ways_in(manifests, pod)]:
            assert way.ports, pod.name
            assert way.peer, pod.name
            assert way.peer.get("ipBlock", {}).get("cidr") not in ("0.0.0.0/0", "::/0")
            for selector in ("podSelector", "namespaceSelector"):
                if selector in way.peer:
                    assert way.peer[selector].get("matchLabels"), pod.name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_policy_is_about_pods_that_exist(overlay: str) -> None:
    manifests = everything(overlay)
    for policy in manifests.of("NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        assert any(selects(selector, pod.labels) for pod in manifests.pods()), policy["metadata"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_says_exactly_what_it_reaches(overlay: str) -> None:
    for pod in everything(overlay).our_pods():
        said = {
            label.removeprefix("rollcall.io/reaches-")
            for label, value in pod.labels.items()
            if label.startswith("rollcall.io/reaches-") and value == "true"
        }
        assert said == NEEDS[pod.component], pod.name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_has_one_way_out_to_each_dependency_and_to_the_names(overlay: str) -> None:
    manifests = everything(overlay)
    for pod in manifests.our_pods():
        ways = ways_out(manifests, pod)

        assert len([way for way in ways if way.is_names()]) == 1
        ports = sorted(way.ports[0]["port"] for way in ways if not way.is_names())
        wanted = {name: port for name, (_, port) in addresses(manifests, pod).items()}
        if overlay == "production" and "issuers" in NEEDS[pod.component]:
            wanted["issuers"] = 443  # in one cluster there is none
        assert ports == sorted([*wanted.values(), 5432]), pod.name


def test_in_one_cluster_each_way_out_meets_a_way_in() -> None:
    """Both ends have to agree: the one may go, the other lets it in, on the port it listens on."""
    manifests = everything("dev")
    servers = {pod.name: pod for pod in manifests.pods() if not pod.is_ours}
    for pod in manifests.our_pods():
        for way in ways_out(manifests, pod):
            if way.is_names():
                continue
            [server] = [
                each for each in servers.values() if selects(way.peer["podSelector"], each.labels)
            ]
            [port] = [each["port"] for each in way.ports]
            open_ports = [
                each["containerPort"]
                for container in server.containers
                for each in container["ports"]
            ]
            assert port in open_ports
            assert any(
                [each["port"] for each in entry.ports] == [port]
                and selects(
                    entry.peer.get("podSelector", {"matchLabels": {"no": "one"}}), pod.labels
                )
                for entry in ways_in(manifests, server)
            ), (pod.name, server.name)


def test_in_one_cluster_the_settings_name_services_of_it() -> None:
    manifests = everything("dev")
    services = {each["metadata"]["name"]: each["spec"] for each in manifests.of("Service")}
    for pod in manifests.our_pods():
        for host, port in addresses(manifests, pod).values():
            service = services[host.partition(".")[0]]
            assert port in [each["port"] for each in service["ports"]]
    for name in ("ingress", "provisioner", "notifier", "console", "operator"):
        url = urlsplit(
            next(
                value
                for secret in manifests.of("Secret")
                if secret["metadata"]["name"].startswith(f"rollcall-{name}-")
                for value in manifests.secret(secret["metadata"]["name"]).values()
            )
        )
        assert url.hostname == "postgres"
        assert url.port == 5432


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_labelled_namespaces_reach_the_doors_and_none_the_other_services(
    overlay: str,
) -> None:
    manifests = everything(overlay)
    for component, label in (("ingress", "door"), ("console", "console")):
        [way] = ways_in(manifests, manifests.pod(component))

        labels = {f"rollcall.io/reaches-{label}": "true"}
        assert way.peer == {"namespaceSelector": {"matchLabels": labels}}
        assert way.ports == [{"protocol": "TCP", "port": "http"}]
    for component in NEEDS.keys() - {"ingress", "console"}:
        assert ways_in(manifests, manifests.pod(component)) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_with_monitoring_labelled_namespaces_reach_admin_ports_and_nothing_else(
    overlay: str,
) -> None:
    manifests = built(overlay, "monitoring")
    [monitor] = manifests.of("PodMonitor")
    for service in ("ingress", "provisioner", "notifier", "console"):
        pod = manifests.pod(service)
        opened = [way for way in ways_in(manifests, pod) if way.ports[0]["port"] == "admin"]

        assert [way.peer for way in opened] == [
            {"namespaceSelector": {"matchLabels": {"rollcall.io/reads-metrics": "true"}}}
        ]
        assert selects(monitor["spec"]["selector"], pod.labels)
        assert pod.port(monitor["spec"]["podMetricsEndpoints"][0]["port"]) > 0
