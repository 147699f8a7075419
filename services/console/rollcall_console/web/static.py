"""Static files: read once, named by a digest of their content, so that browsers keep them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).parents[1] / "static"
_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is served; `path` is its address."""

    path: str
    content_type: str
    body: bytes


def load(folder: Path = FOLDER) -> dict[str, File]:
    """Name below the folder → the file; licences and notes are not served."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in _TYPES:
            name, body = path.relative_to(folder).as_posix(), path.read_bytes()
            address = f"/static/{hashlib.sha256(body).hexdigest()[:12]}/{name}"
            files[name] = File(address, _TYPES[path.suffix], body)
    return files


def setup(app: web.Application, files: Mapping[str, File]) -> None:
    """Serve the files; an address with another digest is not found."""
    by_path = {file.path: file for file in files.values()}

    async def serve(request: web.Request) -> web.Response:
        file = by_path.get(request.path)
        if file is None:
            return web.Response(status=404)
        response = web.Response(
            body=file.body,
            content_type=file.content_type,
            charset="utf-8",
            headers={"Cache-Control": _FOR_EVER},
        )
        response.enable_compression()
        return response

    app.router.add_get("/static/{name:.+}", serve)
