"""The cluster of KUBECONFIG with our images, once for all tests of this folder."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deploy.docker_engine import engine
from tests.support.deploy.kubernetes import (
    LoadedCluster,
    clean,
    load_images,
    prepare,
    require_cluster,
)


@pytest.fixture(scope="session")
def cluster_folder() -> Iterator[Path]:
    """Where copies of the overlays are; the nodes have the images."""
    with tempfile.TemporaryDirectory(prefix="rollcall-cluster-test-") as made:
        folder = Path(made).resolve()
        require_cluster(folder)
        with engine() as docker:
            load_images(docker, folder)
        yield folder


@pytest.fixture(scope="module")
def cluster(cluster_folder: Path) -> Iterator[LoadedCluster]:
    """A cluster that has the images and nothing of ours."""
    kube = require_cluster(cluster_folder)
    clean(kube)
    prepare(kube)
    try:
        yield LoadedCluster(kube, {})
    finally:
        clean(kube)
