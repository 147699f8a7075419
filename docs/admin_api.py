"""The admin API as an OpenAPI document, written to `docs/admin-api.yaml` by `make docs`."""

from typing import Any, cast

from rollcall_console.api.document import document
from rollcall_console.api.routes import operations


def admin_api() -> dict[str, Any]:
    """The document. Operations are described without what they need to be carried out."""
    nothing = cast(Any, None)
    return document(operations(nothing, nothing, nothing))
