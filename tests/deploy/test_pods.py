"""What every pod of the manifests keeps to, and what Kubernetes does with it."""

import re

import pytest

from tests.support.deploy.manifests import OVERLAYS, Json, Manifests, Pod, built, selects

SERVICES = ("ingress", "provisioner", "notifier", "console")
MARGIN_S = 5
PRODUCER_STOP_S = 5.0


def pods(overlay: str) -> list[Pod]:
    return list(built(overlay, "snapshots").pods())


def labels_of(document: Json) -> Json:
    template: Json = document["spec"]["template"]["metadata"]["labels"]
    return template


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted(overlay: str) -> None:
    """The `restricted` standard, and beyond it: a read-only root, and no token."""
    for pod in pods(overlay):
        security = pod.spec["securityContext"]

        assert pod.spec["automountServiceAccountToken"] is False, pod.name
        assert security["runAsNonRoot"] is True, pod.name
        assert security["runAsUser"] > 0, pod.name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, pod.name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys(), pod.name
        for volume in pod.spec.get("volumes", []):
            assert "hostPath" not in volume, pod.name
        for container in pod.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (pod.name, container["name"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_says_what_it_needs_and_what_it_may_have(overlay: str) -> None:
    for pod in pods(overlay):
        for container in pod.containers:
            resources = container["resources"]
            assert resources["requests"].keys() == {"cpu", "memory"}, (pod.name, container["name"])
            assert resources["limits"].keys() == {"cpu", "memory"}, (pod.name, container["name"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_image_has_a_version(overlay: str) -> None:
    images = {each["image"] for pod in pods(overlay) for each in pod.containers}

    for image in images:
        assert re.search(r":v?[0-9][^/:]*$", image), image
    assert len({image for image in images if "rollcall" in image}) == 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_serving_pod_is_probed_on_ports_that_it_names(overlay: str) -> None:
    for pod in pods(overlay):
        if (
            pod.kind not in ("Deployment", "StatefulSet")
            or pod.labels.get("app.kubernetes.io/component") == "operator"
        ):
            continue
        for container in pod.spec["containers"]:
            names = {port["name"] for port in container["ports"]}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                asked = container[probe]
                for kind in ("httpGet", "tcpSocket"):
                    if kind in asked:
                        assert asked[kind]["port"] in names, (pod.name, probe)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_liveness_asks_the_process_and_readiness_whether_to_send(overlay: str) -> None:
    """Liveness never asks Kafka or Postgres: an outage of theirs must not restart ours."""
    for service in SERVICES:
        [container] = built(overlay).pod(service).spec["containers"]
        assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "admin"}
        assert container["startupProbe"]["httpGet"] == {"path": "/livez", "port": "admin"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_grace_period_is_longer_than_the_drain(overlay: str) -> None:
    manifests = built(overlay)
    for service in SERVICES:
        pod = manifests.pod(service)
        [container] = pod.spec["containers"]
        environment = manifests.environment(container)
        steps = [
            float(environment[f"ROLLCALL_{service.upper()}_DRAIN_S"]),
            float(environment.get(f"ROLLCALL_{service.upper()}_PRE_STOP_S", 0)),
            PRODUCER_STOP_S,
        ]
        assert pod.spec["terminationGracePeriodSeconds"] >= sum(steps) + MARGIN_S, service


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_rollout_removes_no_pod_before_a_new_one_is_ready(overlay: str) -> None:
    for service in SERVICES:
        deployment = built(overlay).named("Deployment", f"rollcall-{service}")
        update = deployment["spec"]["strategy"]["rollingUpdate"]
        assert update == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_waits_for_the_schema_longer_than_the_job_and_less_than_a_rollout(
    overlay: str,
) -> None:
    manifests = built(overlay)
    [job] = manifests.of("Job")
    for service in SERVICES:
        deployment = manifests.named("Deployment", f"rollcall-{service}")
        [first, *others] = deployment["spec"]["template"]["spec"]["initContainers"]

        assert not others
        assert first["args"][:2] == ["wait", "schema"]
        timeout_s = int(first["args"][first["args"].index("--timeout") + 1])
        assert timeout_s < deployment["spec"]["progressDeadlineSeconds"]
        assert timeout_s > job["spec"]["activeDeadlineSeconds"] - 120


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_selects_the_pods_of_its_own(overlay: str) -> None:
    manifests = built(overlay)
    for document in manifests.of("Deployment", "StatefulSet"):
        assert selects(document["spec"]["selector"], labels_of(document))
    for service in SERVICES:
        pod = manifests.pod(service)
        for kind in ("PodDisruptionBudget",):
            selector = manifests.named(kind, f"rollcall-{service}")["spec"]["selector"]
            chosen = [each.name for each in manifests.pods() if selects(selector, each.labels)]
            assert chosen == [pod.name]
        for spread in pod.spec["topologySpreadConstraints"]:
            chosen = [
                each.name
                for each in manifests.pods()
                if selects(spread["labelSelector"], each.labels)
            ]
            assert chosen == [pod.name]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_service_reaches_a_port_of_the_pods_that_it_selects(overlay: str) -> None:
    manifests = built(overlay)
    for service in manifests.of("Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        [pod] = [each for each in manifests.pods() if selects(selector, each.labels)]
        for port in service["spec"]["ports"]:
            assert pod.port(port["targetPort"]) > 0


def test_no_service_leads_to_an_admin_port() -> None:
    for overlay in OVERLAYS:
        for service in built(overlay).of("Service"):
            assert "admin" not in {port["targetPort"] for port in service["spec"]["ports"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_is_of_an_account_that_exists_and_gets_no_token(overlay: str) -> None:
    accounts = {each["metadata"]["name"]: each for each in built(overlay).of("ServiceAccount")}

    assert all(each["automountServiceAccountToken"] is False for each in accounts.values())
    for pod in built(overlay).our_pods():
        assert pod.spec["serviceAccountName"] in accounts
    for service in SERVICES:
        assert built(overlay).pod(service).spec["serviceAccountName"] == f"rollcall-{service}"


@pytest.mark.parametrize(
    ("overlay", "component", "name"),
    [(overlay, None, "rollcall-ingress") for overlay in OVERLAYS]
    + [(overlay, "keda", "rollcall-provisioner") for overlay in OVERLAYS],
)
def test_what_is_scaled_by_another_does_not_say_how_many_it_is(
    overlay: str, component: str | None, name: str
) -> None:
    """Otherwise each `kubectl apply` would set the number back."""
    assert "replicas" not in built(overlay, component).named("Deployment", name)["spec"]


def test_the_autoscalers_target_exists() -> None:
    for overlay in OVERLAYS:
        [scaler] = built(overlay).of("HorizontalPodAutoscaler")
        target = scaler["spec"]["scaleTargetRef"]
        assert built(overlay).named(target["kind"], target["name"])
        assert scaler["spec"]["minReplicas"] >= 2


def test_production_has_three_of_each_service() -> None:
    manifests = built("production")

    [scaler] = manifests.of("HorizontalPodAutoscaler")
    assert scaler["spec"]["minReplicas"] == 3
    for service in ("provisioner", "notifier"):
        assert replicas(manifests, service) == 3
    assert replicas(manifests, "operator") == 0


def replicas(manifests: Manifests, component: str) -> int:
    return int(manifests.named("Deployment", f"rollcall-{component}")["spec"]["replicas"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_namespace_enforces_the_restricted_standard(overlay: str) -> None:
    [namespace] = built(overlay).of("Namespace")

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_dev_overlay_has_room_on_two_cores_while_all_of_it_is_updated() -> None:
    """What is left over is the cluster's own."""
    manifests = built("dev")
    least = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]["minReplicas"]
        for each in manifests.of("HorizontalPodAutoscaler")
    }
    asked = 0
    for document in manifests.of("Deployment", "StatefulSet", "Job"):
        name, spec = document["metadata"]["name"], document["spec"]
        count = spec.get("replicas", least.get(name, 1))
        surge = int(
            document["kind"] == "Deployment" and spec.get("strategy", {}).get("type") != "Recreate"
        )
        containers = spec["template"]["spec"]["containers"]
        asked += (count + surge) * sum(
            int(each["resources"]["requests"]["cpu"].removesuffix("m")) for each in containers
        )

    assert asked <= 1800


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_snapshot_is_written_to_a_volume_that_is_claimed(overlay: str) -> None:
    """And the operator's pod sees the same one at the same place."""
    manifests = built(overlay, "snapshots")
    [claim] = manifests.of("PersistentVolumeClaim")
    places = []
    for component in ("snapshot", "operator"):
        spec = manifests.pod(component).spec
        [volume] = [each for each in spec["volumes"] if "persistentVolumeClaim" in each]
        [container] = spec["containers"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        places += [
            each["mountPath"]
            for each in container["volumeMounts"]
            if each["name"] == volume["name"]
        ]
    arguments = manifests.pod("snapshot").spec["containers"][0]["args"]

    assert len(places) == 2
    assert len(set(places)) == 1
    assert arguments[arguments.index("--to") + 1].startswith(f"{places[0]}/")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_variable_is_given_twice(overlay: str) -> None:
    """A container's own would hide a shared one; whoever reads the ConfigMap would believe that."""
    manifests = built(overlay, "snapshots")
    for pod in manifests.pods():
        for container in pod.containers:
            names = [each["name"] for each in container.get("env", [])]
            for source in container.get("envFrom", []):
                names += manifests.named("ConfigMap", source["configMapRef"]["name"])["data"]
            assert len(names) == len(set(names)), (pod.name, container["name"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_finished_jobs_go_by_age_and_those_of_a_cron_job_by_number(overlay: str) -> None:
    """An age would take the log of a failed one away before somebody has read it."""
    manifests = built(overlay, "snapshots")
    for job in manifests.of("Job"):
        assert job["spec"]["ttlSecondsAfterFinished"] > 0
    for cron in manifests.of("CronJob"):
        assert "ttlSecondsAfterFinished" not in cron["spec"]["jobTemplate"]["spec"]
        assert cron["spec"]["failedJobsHistoryLimit"] >= 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_disruption_budget_lets_one_go_and_always_one_that_is_not_ready(overlay: str) -> None:
    budgets = built(overlay).of("PodDisruptionBudget")

    assert len(budgets) == len(SERVICES)
    for budget in budgets:
        assert budget["spec"]["maxUnavailable"] == 1
        assert "minAvailable" not in budget["spec"]
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_job_waits_for_its_servers_first(overlay: str) -> None:
    """A new pod may be kept out for a moment, until the network plug-in knows its address."""
    jobs = [pod for pod in built(overlay, "snapshots").our_pods() if "Job" in pod.kind]

    assert len(jobs) == 4
    for pod in jobs:
        assert pod.containers[0]["args"][:3] == ["wait", "kafka", "postgres"], pod.name
