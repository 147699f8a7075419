"""Fetch the browser's libraries: `make vendor` writes the console's `static/vendor`.

Each package has a version and the sha512 of its archive, as the registry publishes it (Subresource
Integrity). `npm pack` fetches the archive from whatever registry npm is set up for; an archive with
another hash is refused. The files are committed, so neither a build nor a start needs npm. A newer
version is two values here and a run.
"""

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
STATIC: Final = ROOT / "services/console/rollcall_console/static/vendor"
TESTS: Final = ROOT / "tests/browser/vendor"
LICENCE: Final = "LICENSE"


@dataclass(frozen=True, slots=True)
class Package:
    """A package of npm: the files taken out of it, and where they are put."""

    name: str
    version: str
    sha512: str
    files: tuple[str, ...]
    licence: str = LICENCE
    to: Path = STATIC


PACKAGES: Final = (
    Package(
        "htmx.org",
        "2.0.11",  # 2, not npm's latest: 4 has other attributes
        "Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA==",
        ("dist/htmx.min.js",),
    ),
    Package(
        "basecoat-css",
        "1.0.2",
        "C6I5rr7HziIAoBYNGPO5U6HaU/6FuF3iVp++IgoEqqJ836is3XoRty6l1ibXqxnoIRZNnOAYDMX8QxVC+58zhw==",
        ("dist/basecoat.cdn.min.css",),
        licence="LICENSE.md",
    ),
    Package(
        "uplot",
        "1.6.32",
        "KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        ("dist/uPlot.iife.min.js", "dist/uPlot.min.css"),
    ),
    Package(
        "axe-core",
        "4.14.1",
        "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        ("axe.min.js",),
        to=TESTS,
    ),
)


class WrongArchive(Exception):
    """What was fetched is not what was pinned."""


def fetch(package: Package, folder: Path) -> Path:
    """The package's archive, checked. Raises WrongArchive, CalledProcessError."""
    named = f"{package.name}@{package.version}"
    done = subprocess.run(  # noqa: S603 names are ours
        ["npm", "pack", "--silent", named],  # noqa: S607
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    archive = folder / done.stdout.split()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != package.sha512:
        raise WrongArchive(f"{named} has the sha512 {digest}")
    return archive


def unpack(package: Package, archive: Path) -> list[Path]:
    """Write the package's files and its licence; what was written."""
    package.to.mkdir(parents=True, exist_ok=True)
    written = []
    with tarfile.open(archive) as packed:
        names = {name.lower(): name for name in packed.getnames()}
        for wanted in (*package.files, package.licence):
            member = packed.extractfile(names[f"package/{wanted}".lower()])
            if member is None:
                raise WrongArchive(f"{package.name} has no file {wanted}")
            is_licence = wanted == package.licence
            target = package.to / (f"{package.name}.LICENSE" if is_licence else Path(wanted).name)
            target.write_bytes(member.read())
            written.append(target)
    return written


def main() -> None:
    """Fetch all."""
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            for path in unpack(package, fetch(package, Path(folder))):
                sys.stdout.write(f"{path} ({path.stat().st_size:,} bytes)\n")


if __name__ == "__main__":
    main()
