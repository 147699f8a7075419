"""How tolerant an organisation's SCIM endpoint is."""

from enum import StrEnum


class Profile(StrEnum):
    """`compatible` repairs what identity providers are known to send; `interop` refuses it.

    `interop` follows draft-zollner-scim-interop-profile where that is stricter than RFC 7644.
    """

    COMPATIBLE = "compatible"
    INTEROP = "interop"
