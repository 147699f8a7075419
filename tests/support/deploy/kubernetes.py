"""A cluster that `KUBECONFIG` names, and the dev overlay in it. No test in here.

`ROLLCALL_CLUSTER_LOAD` is the command that makes an image archive (`docker save`) known to the
cluster's nodes, with `{archive}` in it: `kind load image-archive {archive}`, or
`k3d image import {archive}`.
"""

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from rollcall_local.stack.process import wait_until
from tests.support.deploy import stand_in_images
from tests.support.deploy.docker_engine import Engine, Missing
from tests.support.deploy.manifests import KUBERNETES, kubectl

NAMESPACE: Final = "rollcall"
BESIDE: Final = "rollcall-test"
"""A namespace of our own, whose pods may knock at the door; and one for strangers."""
STRANGERS: Final = "rollcall-strangers"
OURS: Final = "localhost/rollcall-test-ours"
TAG: Final = "0.1.0"
NEXT_TAG: Final = "0.1.1"
SCRIPTS: Final = [Path(__file__).parents[2] / "cluster" / name for name in ("load.py", "burn.py")]
ROLLOUT_S: Final = 240.0
SAY_EVERY_S: Final = 10.0
VOLUMES: Final = 4
VOLUMES_FOLDER: Final = "/tmp/rollcall-test-volumes"
Json = dict[str, Any]
RESTRICTED: Final[Json] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True, slots=True)
class Kube:
    """kubectl against the cluster; every call has a time-out."""

    folder: Path

    def try_(self, *arguments: str, stdin: str = "", timeout_s: float = 120) -> "Done":
        """Run kubectl, whatever becomes of it."""
        return subprocess.run(
            [str(kubectl()), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def __call__(self, *arguments: str, stdin: str = "", timeout_s: float = 120) -> str:
        """Run kubectl; its output. Fails with what it said."""
        done = self.try_(*arguments, stdin=stdin, timeout_s=timeout_s)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}"
        return done.stdout

    def ours(self, *arguments: str, timeout_s: float = 120) -> str:
        """Run kubectl in the namespace of the overlay."""
        return self("--namespace", NAMESPACE, *arguments, timeout_s=timeout_s)

    def listed(self, kind: str, namespace: str = NAMESPACE, selector: str = "") -> list[Json]:
        """Objects of a kind."""
        choice = [f"--selector={selector}"] if selector else []
        found = self("--namespace", namespace, "get", kind, "--output=json", *choice)
        items: list[Json] = json.loads(found)["items"]
        return items

    def pods(self, component: str) -> list[Json]:
        """Pods of one of our components that are not on their way out."""
        found = self.listed("pods", selector=f"app.kubernetes.io/component={component}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, component: str) -> int:
        """How many pods of a component are ready."""
        return sum(
            {"type": "Ready", "status": "True"}.items() <= condition.items()
            for pod in self.pods(component)
            for condition in pod["status"].get("conditions", [])
        )

    def python(self, target: str, code: str, namespace: str = NAMESPACE) -> "Done":
        """Run Python in a pod of our image."""
        where = ["--namespace", namespace, "exec", target, "--"]
        return self.try_(*where, "python3", "-c", code, timeout_s=60)

    def write_overlay(self, tag: str = TAG, *components: str, secret: str | None = None) -> Path:
        """The dev overlay as it stands but for image names; written into a copy, as users do.

        With components named where the documentation says; with another invitation secret.
        """
        # Over the copy of before: what is written below begins with what the project has.
        shutil.copytree(KUBERNETES, self.folder / "kubernetes", dirs_exist_ok=True)
        folder = self.folder / "kubernetes" / "overlays" / "dev"
        file = folder / "kustomization.yaml"
        kustomization: Json = yaml.safe_load(file.read_text())
        theirs = {"apache/kafka": "kafka", "postgres": "postgres", "axllent/mailpit": "mailpit"}
        images = [{"name": "rollcall", "newName": OURS, "newTag": tag}]
        for name, role in theirs.items():
            new_name, _, new_tag = stand_in_images.image(role).rpartition(":")
            images.append({"name": name, "newName": new_name, "newTag": new_tag})
        kustomization["images"] = images
        kustomization["components"] += [f"../../components/{each}" for each in components]
        if secret is not None:
            for each in kustomization["secretGenerator"]:
                if each["name"] == "rollcall-invitation":
                    each["literals"] = [f"secret={secret}"]
        file.write_text(yaml.safe_dump(kustomization, sort_keys=False))
        return folder

    def rolled_out(self, *deployments: str) -> None:
        """Wait until what runs is what was asked for; says meanwhile which pods are not ready."""
        for name in deployments:
            status = ("--namespace", NAMESPACE, "rollout", "status", f"deployment/{name}")

            def is_there(status: Sequence[str] = status) -> bool:
                return "successfully rolled out" in self.try_(*status, "--watch=false").stdout

            wait(is_there, f"{name} is rolled out", ROLLOUT_S, self)

    def unready(self) -> dict[str, str]:
        """Pods that are neither ready nor done, with why."""
        return {
            pod["metadata"]["name"]: why_not_ready(pod)
            for pod in self.listed("pods")
            if not is_ready(pod) and pod["status"]["phase"] != "Succeeded"
        }

    def trouble(self) -> str:
        """Each pod that is not ready: why, what its containers said last, what the cluster says."""
        found = []
        for name, why in self.unready().items():
            found.append(f"{name}: {why}")
            logs = ["--namespace", NAMESPACE, "logs", name, "--all-containers", "--prefix"]
            for which in ([], ["--previous"]):
                done = self.try_(*logs, "--tail=8", *which)
                found += [f"  {line}" for line in done.stdout.splitlines()]
            events = ["--namespace", NAMESPACE, "get", "events"]
            about = [f"--field-selector=involvedObject.name={name}", "--no-headers"]
            done = self.try_(*events, *about, "--sort-by=.lastTimestamp")
            found += [f"  {line}" for line in done.stdout.splitlines()[-5:]]
        return "\n".join(found)

    def run_pod(self, name: str, command: Sequence[str], namespace: str = BESIDE) -> None:
        """Start a pod of our image beside the overlay, restricted as ours are."""
        container: Json = {
            "name": "test",
            "image": f"{OURS}:{TAG}",
            "command": list(command),
            "securityContext": RESTRICTED,
            "volumeMounts": [{"name": "scripts", "mountPath": "/scripts", "readOnly": True}],
        }
        pod: Json = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 1,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 10001,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
                "volumes": [{"name": "scripts", "configMap": {"name": "scripts"}}],
            },
        }
        self("apply", "--filename=-", stdin=json.dumps(pod))

    def logs(self, pod: str, namespace: str = BESIDE) -> str:
        """What a pod wrote."""
        return self.try_("--namespace", namespace, "logs", pod).stdout


Done = subprocess.CompletedProcess[str]


@dataclass
class LoadedCluster:
    """The cluster, and the organisation that the load belongs to."""

    kube: Kube
    organisation: Json

    @property
    def base(self) -> str:
        """The SCIM base as seen from within the cluster."""
        path = urlsplit(self.organisation["scim_base_url"]).path
        return f"http://rollcall-ingress.{NAMESPACE}.svc{path}"


def require_cluster(folder: Path) -> Kube:
    """The cluster of KUBECONFIG, which answers. Raises Missing."""
    if not os.environ.get("KUBECONFIG"):
        raise Missing("name a cluster in KUBECONFIG, and its loader in ROLLCALL_CLUSTER_LOAD")
    if "{archive}" not in os.environ.get("ROLLCALL_CLUSTER_LOAD", ""):
        raise Missing("ROLLCALL_CLUSTER_LOAD must be a command with {archive} in it")
    found = Kube(folder)
    done = found.try_("version", "--output=json", "--request-timeout=20s")
    if done.returncode:
        raise Missing(f"the cluster does not answer: {done.stderr}")
    return found


def load_images(engine: Engine, folder: Path) -> None:
    """Build ours twice (an update's second tag), the stand-ins, and hand them to the cluster."""
    for tag in (TAG, NEXT_TAG):
        engine.build(f"{OURS}:{tag}", engine.base(), VERSION=tag)
    stand_in_images.build(engine)
    names = [f"{OURS}:{tag}" for tag in (TAG, NEXT_TAG)]
    names += [stand_in_images.image(role) for role in stand_in_images.ROLES]
    archive = folder / "images.tar"
    engine("save", "--output", str(archive), *names, timeout_s=600)
    command = os.environ["ROLLCALL_CLUSTER_LOAD"].replace("{archive}", str(archive))
    done = subprocess.run(
        shlex.split(command), capture_output=True, text=True, timeout=900, check=False
    )
    archive.unlink()
    if done.returncode:
        raise Missing(f"{command}: {done.stderr[-2000:]}")


def prepare(kube: Kube) -> None:
    """What the cluster has to have: volumes to be claimed, namespaces beside the overlay."""
    documents: list[Json] = []
    for name, labels in ((BESIDE, {"rollcall.io/reaches-door": "true"}), (STRANGERS, {})):
        documents.append(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": labels},
            }
        )
        documents.append(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "scripts", "namespace": name},
                "data": {path.name: path.read_text() for path in SCRIPTS},
            }
        )
    apply(kube, documents)
    classes = json.loads(kube("get", "storageclass", "--output=json"))["items"]
    default = "storageclass.kubernetes.io/is-default-class"
    if not any(each["metadata"].get("annotations", {}).get(default) for each in classes):
        make_volumes(kube, default)


def make_volumes(kube: Kube, default: str) -> None:
    """Folders of the node that every user may write to, where nobody provides volumes.

    Kubernetes does not hand a host's folder over to a pod's `fsGroup`, so a pod makes them.
    """
    code = (
        "import os\n"
        f"for n in range({VOLUMES}):\n"
        f"    os.makedirs(f'/volumes/{{n}}', exist_ok=True)\n"
        f"    os.chmod(f'/volumes/{{n}}', 0o777)\n"
    )
    host: Json = {"path": VOLUMES_FOLDER, "type": "DirectoryOrCreate"}
    maker: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "volumes", "namespace": BESIDE},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsUser": 0},
            "containers": [
                {
                    "name": "volumes",
                    "image": f"{OURS}:{TAG}",
                    "command": ["python3", "-c", code],
                    "volumeMounts": [{"name": "volumes", "mountPath": "/volumes"}],
                }
            ],
            "volumes": [{"name": "volumes", "hostPath": host}],
        },
    }
    kube.try_("--namespace", BESIDE, "delete", "pod", "volumes", "--ignore-not-found")
    apply(kube, [maker])
    succeeded = "--for=jsonpath={.status.phase}=Succeeded"
    kube("--namespace", BESIDE, "wait", succeeded, "pod/volumes", "--timeout=60s")
    documents: list[Json] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "rollcall-test", "annotations": {default: "true"}},
            "provisioner": "kubernetes.io/no-provisioner",
        }
    ]
    documents += [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"rollcall-test-{n}", "labels": {"rollcall.io/test": "true"}},
            "spec": {
                "storageClassName": "rollcall-test",
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "20Gi"},
                "persistentVolumeReclaimPolicy": "Delete",
                "hostPath": {"path": f"{VOLUMES_FOLDER}/{n}"},
            },
        }
        for n in range(VOLUMES)
    ]
    apply(kube, documents)


def apply(kube: Kube, documents: Sequence[Json]) -> None:
    """Apply documents of the test's own."""
    kube("apply", "--filename=-", stdin="\n---\n".join(json.dumps(each) for each in documents))


def clean(kube: Kube) -> None:
    """Take away what `prepare` made, and the overlay if it is still there."""
    for name in (NAMESPACE, BESIDE, STRANGERS):
        kube.try_(
            "delete", "namespace", name, "--ignore-not-found", "--timeout=120s", timeout_s=150
        )
    kube.try_("delete", "storageclass", "rollcall-test", "--ignore-not-found")
    kube.try_("delete", "persistentvolume", "--selector=rollcall.io/test=true", "--timeout=30s")


def is_ready(pod: Json) -> bool:
    """Whether a pod is ready by its conditions."""
    return any(
        each["type"] == "Ready" and each["status"] == "True"
        for each in pod["status"].get("conditions", [])
    )


def why_not_ready(pod: Json) -> str:
    """In a line: which container waits or ended, and why; or why the pod has no node."""
    status = pod["status"]
    said = []
    for each in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        for state in (each.get("state", {}), each.get("lastState", {})):
            waiting, ended = state.get("waiting"), state.get("terminated")
            if waiting:
                text = f"{waiting.get('reason', '')} {waiting.get('message', '')}".strip()
                said.append(f"{each['name']} waits: {text}")
            if ended and ended.get("exitCode"):
                said.append(f"{each['name']} ended with {ended['exitCode']}")
        if "running" in each.get("state", {}) and not each.get("ready"):
            said.append(f"{each['name']} runs and is not ready")
    said += [
        f"not scheduled: {each.get('message', each.get('reason', ''))}"
        for each in status.get("conditions", [])
        if each["type"] == "PodScheduled" and each["status"] != "True"
    ]
    return "; ".join(said)[:600] or status.get("phase", "unknown")


def wait(holds: Callable[[], bool], what: str, timeout_s: float, about: Kube | None = None) -> None:
    """Wait for a condition with a deadline.

    With `about`, it says every ten seconds which pods of the overlay are not ready, and in the end
    what those have said.
    """
    next_s = time.monotonic() + SAY_EVERY_S

    def asked() -> bool:
        nonlocal next_s
        if holds():
            return True
        if about is not None and time.monotonic() >= next_s:
            next_s = time.monotonic() + SAY_EVERY_S
            waited = "; ".join(f"{pod}: {why}" for pod, why in about.unready().items())
            print(f"waiting until {what}: {waited or 'no pod is unready'}", flush=True)
        return False

    if not wait_until(asked, timeout_s, every_s=1.0):
        trouble = f"\n{about.trouble()}" if about is not None else ""
        raise AssertionError(f"not within {timeout_s:g} s: {what}{trouble}")
