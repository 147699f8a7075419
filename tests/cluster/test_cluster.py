"""`overlays/dev` as it stands, on a real cluster: one story, told in order.

The tests of this module stand on one another: the first applies the manifests, the last takes them
away. The load is counted where it is made, in a pod beside them (`load.py`).
"""

import contextlib
import json
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from rollcall_local.demo import conversation, player
from rollcall_local.demo.client import ScimClient, Tally, open_session
from rollcall_local.stack import ports
from rollcall_local.stack.process import wait_until
from tests.support.deploy.kubernetes import (
    BESIDE,
    NAMESPACE,
    NEXT_TAG,
    OURS,
    STRANGERS,
    TAG,
    Json,
    LoadedCluster,
    wait,
)
from tests.support.deploy.manifests import kubectl

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800), pytest.mark.xdist_group("cluster")]
DEPLOYMENTS: Final = (
    "rollcall-ingress",
    "rollcall-provisioner",
    "rollcall-notifier",
    "rollcall-console",
)
READY_S: Final = 60.0
RATE: Final = 10
COMPONENTS: Final = ("snapshots",)
"""What goes on top of the overlay: what needs nothing that a plain cluster has not."""
FORBIDDEN: Final = "violate the pod's disruption budget"
REACHES: Final = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=4).close()
except OSError as error:
    sys.exit(f"{type(error).__name__}")
"""


def load(
    cluster: LoadedCluster, name: str, seconds: float, act: Callable[[], None], tries: int = 1
) -> Json:
    """Play the load for so long while something is done; what became of it."""
    kube = cluster.kube
    arguments = [cluster.base, cluster.organisation["api_key"], str(seconds), str(RATE), str(tries)]
    kube.run_pod(name, ["python3", "/scripts/load.py", *arguments])
    wait(lambda: "started" in kube.logs(name), "the load has started", 60)
    act()

    def phase() -> str:
        where = ["--namespace", BESIDE, "get", "pod", name]
        return kube(*where, "--output=jsonpath={.status.phase}")

    wait(lambda: phase() in ("Succeeded", "Failed"), "the load has ended", seconds + 180)
    found: Json = json.loads(kube.logs(name).strip().splitlines()[-1])
    kube("--namespace", BESIDE, "delete", "pod", name, "--wait=false")
    print(
        f"{name}: sent {found['sent']}, failed {len(found['failed'])}, lost {len(found['lost'])},"
        f" twice {len(found['twice'])} {found['failed'][:3]}"
    )
    return found


def nothing_is_lost(found: Json) -> None:
    assert (found["lost"], found["twice"]) == ([], [])
    assert found["sent"] > 50


@contextlib.contextmanager
def forwarded(service: str, port: int) -> Iterator[str]:
    """A service at a port of this machine, as the documentation has it."""
    here = ports.choose()
    command = [str(kubectl()), "--namespace", NAMESPACE, "port-forward", service, f"{here}:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: not ports.is_free(here), 20)
        yield f"http://127.0.0.1:{here}"
    finally:
        process.terminate()
        process.wait(10)


def test_the_namespace_is_restricted_and_every_pod_is_ready_within_a_minute(
    cluster: LoadedCluster,
) -> None:
    kube = cluster.kube
    began = time.monotonic()

    done = kube.try_("apply", "--kustomize", str(kube.write_overlay(TAG, *COMPONENTS)))
    assert done.returncode == 0, done.stderr
    # The story goes on where it took longer; what was promised is looked at afterwards.
    wait(lambda: not kube.unready(), "every pod is ready", 5 * READY_S, kube)
    took_s = time.monotonic() - began

    print(f"ready after {took_s:.0f} s")
    [namespace] = [each for each in kube.listed("ns") if each["metadata"]["name"] == NAMESPACE]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    [job] = kube.listed("jobs")
    assert job["status"]["succeeded"] == 1
    assert took_s < READY_S
    assert "Warning" not in done.stderr, done.stderr


def test_an_organisation_is_made_by_the_documented_command(cluster: LoadedCluster) -> None:
    command = ["exec", "deploy/rollcall-operator", "--", "rollcall"]

    created = cluster.kube.ours(*command, "org", "create", "Acme", "--json")
    cluster.organisation = json.loads(created)
    examined = cluster.kube.ours(*command, "doctor")

    assert cluster.organisation["api_key"]
    assert "WRONG" not in examined


@pytest.mark.parametrize("name", ["entra-default", "okta-oin"])
async def test_an_identity_provider_s_conversation_goes_through_the_service(
    cluster: LoadedCluster, name: str
) -> None:
    kube = cluster.kube
    command = ["exec", "deploy/rollcall-operator", "--", "rollcall", "org", "create"]
    made, other = (json.loads(kube.ours(*command, f"{name}{i}", "--json")) for i in (1, 2))
    with forwarded("service/rollcall-ingress", 80) as address:
        path = re.sub(r"^https?://[^/]+", "", made["scim_base_url"])
        names = {"apiKey": made["api_key"], "otherOrgApiKey": other["api_key"]}
        async with open_session(2) as session:
            client = ScimClient(session, address + path, made["api_key"])
            played = await player.play(client, conversation.load(name), names=names, tally=Tally())

    assert [str(each) for each in played if each.differences] == []


async def test_invitations_are_in_the_mail_server_s_pod(cluster: LoadedCluster) -> None:
    code = (
        "import json,urllib.request as r;"
        "print(json.load(r.urlopen('http://127.0.0.1:8025/api/v1/messages'))['total'])"
    )

    def arrived() -> bool:
        where = ["--namespace", NAMESPACE, "exec", "deploy/mailpit", "--"]
        return int(cluster.kube(*where, "/opt/venv/bin/python", "-c", code)) > 0

    wait(arrived, "an invitation has arrived", 60)


def test_a_rolling_restart_of_everything_fails_no_request(cluster: LoadedCluster) -> None:
    def restart() -> None:
        for name in DEPLOYMENTS:
            cluster.kube.ours("rollout", "restart", f"deployment/{name}")
            cluster.kube.rolled_out(name)

    found = load(cluster, "restart", 70, restart)

    assert found["failed"] == []
    nothing_is_lost(found)


@pytest.mark.parametrize("tag", [NEXT_TAG, TAG])
def test_an_update_and_its_taking_back_fail_no_request(cluster: LoadedCluster, tag: str) -> None:
    """As documented: `newTag` is changed, `kubectl apply -k`; all are updated at once."""
    kube = cluster.kube

    def update() -> None:
        done = kube.try_("apply", "--kustomize", str(kube.write_overlay(tag, *COMPONENTS)))
        assert done.returncode == 0, done.stderr
        kube.rolled_out(*DEPLOYMENTS)

    found = load(cluster, "update-" + tag.replace(".", "-"), 70, update)

    images = {
        each["image"]
        for name in ("ingress", "provisioner", "notifier", "console")
        for pod in kube.pods(name)
        for each in pod["spec"]["containers"]
    }
    assert images == {f"{OURS}:{tag}"}
    assert found["failed"] == []
    nothing_is_lost(found)


def test_a_bad_image_is_held_by_the_rollout_and_undone(cluster: LoadedCluster) -> None:
    kube = cluster.kube

    def break_and_mend() -> None:
        kube.ours("set", "image", "deployment/rollcall-ingress", f"ingress={OURS}:nobody")
        status = ["rollout", "status", "deployment/rollcall-ingress", "--timeout=15s"]
        assert kube.try_("--namespace", NAMESPACE, *status).returncode != 0
        kube.ours("rollout", "undo", "deployment/rollcall-ingress")
        kube.rolled_out("rollcall-ingress")

    found = load(cluster, "bad-image", 30, break_and_mend)

    assert found["failed"] == []
    nothing_is_lost(found)


def test_pods_killed_at_random_lose_nothing_that_was_accepted(cluster: LoadedCluster) -> None:
    """A client repeats what got no answer, as identity providers do."""
    kube = cluster.kube
    chance = random.Random(8)
    killed = {"ingress": 0, "provisioner": 0, "notifier": 0}

    def kill() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            component = chance.choice(list(killed))
            pods = kube.pods(component)
            if pods:
                name = chance.choice(pods)["metadata"]["name"]
                how = chance.choice([["--grace-period=0", "--force"], []])
                kube.ours("delete", "pod", name, "--wait=false", *how)
                killed[component] += 1
            # The pace of the killing, not a wait for something.
            time.sleep(chance.uniform(4, 10))

    found = load(cluster, "kill", 130, kill, tries=8)

    print(f"killed {killed}")
    assert min(killed.values()) > 0
    nothing_is_lost(found)


@pytest.mark.parametrize("pod", ["kafka-0", "postgres-0"])
def test_the_broker_s_and_the_database_s_pods_may_die(cluster: LoadedCluster, pod: str) -> None:
    def kill() -> None:
        cluster.kube.ours("delete", "pod", pod, "--grace-period=0", "--force")

    found = load(cluster, pod, 40, kill, tries=8)

    nothing_is_lost(found)
    wait(lambda: not cluster.kube.unready(), "all pods are ready again", 120, cluster.kube)


def test_the_provisioner_scales_to_two_and_back(cluster: LoadedCluster) -> None:
    def scale() -> None:
        for count in (2, 1):
            cluster.kube.ours("scale", "deployment/rollcall-provisioner", f"--replicas={count}")
            wait(lambda: len(cluster.kube.pods("provisioner")) == count, "scaled", 60)  # noqa: B023
            wait(lambda: not cluster.kube.unready(), "the pods are ready", 90, cluster.kube)

    found = load(cluster, "scale", 60, scale)

    assert found["failed"] == []
    nothing_is_lost(found)


def test_a_drain_is_held_by_the_disruption_budgets(cluster: LoadedCluster) -> None:
    """The cluster may have one node only, so the second door has nowhere to go."""
    kube = cluster.kube
    nodes = {pod["spec"]["nodeName"] for pod in kube.pods("ingress")}
    selector = "--pod-selector=app.kubernetes.io/component=ingress"
    options = [selector, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=25s"]
    try:
        said = [kube.try_("drain", node, *options, timeout_s=60) for node in sorted(nodes)]
        assert kube.ready("ingress") > 0, "a door is open all the time"
        assert any(FORBIDDEN in done.stderr for done in said), [done.stderr for done in said]
    finally:
        for node in nodes:
            kube("uncordon", node)
    wait(lambda: not kube.unready(), "all pods are ready again", 120, kube)


@pytest.mark.parametrize(
    ("component", "host", "port", "is_reached"),
    [
        ("ingress", "kafka", 9092, True),
        ("ingress", "postgres", 5432, True),
        ("ingress", "mailpit", 1025, False),
        ("provisioner", "kafka", 9092, True),
        ("provisioner", "postgres", 5432, True),
        ("provisioner", "mailpit", 1025, False),
        ("provisioner", "rollcall-ingress", 80, False),
        ("notifier", "mailpit", 1025, True),
        ("notifier", "rollcall-ingress", 80, False),
        ("console", "kafka", 9092, True),
        ("console", "postgres", 5432, True),
        ("console", "mailpit", 1025, False),
        ("console", "rollcall-ingress", 80, False),
    ],
)
def test_a_service_reaches_its_peers_and_no_other_host(
    cluster: LoadedCluster, component: str, host: str, port: int, is_reached: bool
) -> None:
    code = f"import sys; sys.argv = ['', '{host}', '{port}']\n{REACHES}"

    done = cluster.kube.python(f"deploy/rollcall-{component}", code)

    assert (done.returncode == 0) is is_reached, done.stderr


def test_a_stranger_reaches_nothing_of_ours(cluster: LoadedCluster) -> None:
    kube = cluster.kube
    kube.run_pod("stranger", ["python3", "-c", "import signal; signal.pause()"], STRANGERS)
    kube("--namespace", STRANGERS, "wait", "--for=condition=Ready", "pod/stranger", "--timeout=60s")
    reached = []
    for host, port in (
        ("rollcall-ingress", 80),
        ("kafka", 9092),
        ("postgres", 5432),
        ("mailpit", 1025),
        ("mailpit", 8025),
    ):
        code = f"import sys; sys.argv = ['', '{host}.{NAMESPACE}.svc', '{port}']\n{REACHES}"
        done = kube.python("stranger", code, STRANGERS)
        if done.returncode == 0:
            reached.append((host, port))
    for pod in kube.pods("ingress"):
        code = f"import sys; sys.argv = ['', '{pod['status']['podIP']}', '8081']\n{REACHES}"
        if kube.python("stranger", code, STRANGERS).returncode == 0:
            reached.append(("admin port", 8081))

    assert reached == []


def test_a_rotated_secret_is_taken_up(cluster: LoadedCluster) -> None:
    """`kubectl apply -k` does it: names of Secrets end in their content's digest."""
    kube = cluster.kube
    secret = "another-invitation-secret-of-some-length"
    before = {pod["metadata"]["name"] for pod in kube.pods("ingress") + kube.pods("notifier")}

    def rotate() -> None:
        overlay = kube.write_overlay(TAG, *COMPONENTS, secret=secret)
        kube("apply", "--kustomize", str(overlay))
        kube.rolled_out("rollcall-ingress", "rollcall-notifier")

    found = load(cluster, "rotate", 60, rotate)

    after = {pod["metadata"]["name"] for pod in kube.pods("ingress") + kube.pods("notifier")}
    assert found["failed"] == []
    assert not before & after


@pytest.mark.parametrize(
    "name", ["rollcall-topics-check", "rollcall-audit-months", "rollcall-snapshot"]
)
def test_a_cron_job_fired_by_hand_ends_well(cluster: LoadedCluster, name: str) -> None:
    job = f"{name}-by-hand"

    cluster.kube.ours("create", "job", job, f"--from=cronjob/{name}")

    cluster.kube.ours(
        "wait", "--for=condition=Complete", f"job/{job}", "--timeout=120s", timeout_s=150
    )


def test_the_last_snapshot_is_there_for_the_operator(cluster: LoadedCluster) -> None:
    command = ["exec", "deploy/rollcall-operator", "--", "rollcall"]

    found = cluster.kube.ours(*command, "verify", "--from", "/snapshots/directory", timeout_s=240)

    assert found


def test_the_autoscaler_adds_a_door_when_the_cpu_is_busy(cluster: LoadedCluster) -> None:
    """Needs metrics-server, which kind and k3d have or take as one manifest."""
    kube = cluster.kube
    arguments = [cluster.base, cluster.organisation["api_key"], "150", "24"]

    kube.run_pod("burn", ["python3", "/scripts/burn.py", *arguments])
    began = time.monotonic()

    def scaled() -> bool:
        [scaler] = kube.listed("horizontalpodautoscalers")
        return int(scaler["status"].get("desiredReplicas", 0)) > 2

    wait(scaled, "the autoscaler asks for a third door", 150)
    took_s = time.monotonic() - began
    wait(lambda: kube.ready("ingress") > 2, "it is ready", 120, kube)
    print(
        f"third door asked for after {took_s:.0f} s, ready after {time.monotonic() - began:.0f} s"
    )
    kube("--namespace", BESIDE, "delete", "pod", "burn", "--grace-period=0", "--force")


def test_nothing_is_left_when_it_is_deleted(cluster: LoadedCluster) -> None:
    kube = cluster.kube

    overlay = str(kube.write_overlay(TAG, *COMPONENTS))
    kube("delete", "--kustomize", overlay, "--timeout=240s", timeout_s=270)

    names = [each["metadata"]["name"] for each in kube.listed("namespaces")]
    assert NAMESPACE not in names

    def volumes() -> list[Any]:
        items = json.loads(kube("get", "persistentvolumes", "--output=json"))["items"]
        return [v for v in items if v["spec"].get("claimRef", {}).get("namespace") == NAMESPACE]

    wait(lambda: not volumes(), "its volumes are gone", 60)
