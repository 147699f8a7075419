"""Discovery documents (RFC 7643 §5 to §7, RFC 7644 §4, RFC 9865 §4). They announce only what works.

`base_url` is the organisation's SCIM base, without a trailing slash.
"""

from typing import Final

import orjson

from rollcall.scim.body.json_body import Json
from rollcall.scim.limits import DEFAULT_PAGE, MAX_PAGE
from rollcall.scim.profile import Profile
from rollcall.scim.schema import GROUP, USER, ResourceSchema, read_document

SERVICE_PROVIDER_CONFIG_URN = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
RESOURCE_TYPE_URN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
INTEROP_HOLDS: Final = True
"""Whether the interop profile does everything that draft-zollner-scim-interop-profile requires."""

RESOURCE_DOCUMENTS: Final = ("User", "EnterpriseUser", "Group")
SERVICE_DOCUMENTS: Final = ("ServiceProviderConfig", "ResourceType", "Schema")
_DESCRIPTIONS = {"User": "Members of the organisation.", "Group": "Groups of members."}


def service_provider_config(base_url: str, profile: Profile) -> Json:
    """The ServiceProviderConfig resource (RFC 7643 §5), with the pages of RFC 9865 §4.

    The compatible profile accepts what the interop profile must refuse, so only an organisation in
    the interop profile announces conformance. Others omit the attribute, which means false: a
    client that knows only RFC 7643 might refuse an attribute that it does not know.
    """
    is_conformant = INTEROP_HOLDS and profile is Profile.INTEROP
    return {
        "schemas": [SERVICE_PROVIDER_CONFIG_URN],
        "id": "ServiceProviderConfig",
        "patch": {"supported": True},
        "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": True, "maxResults": MAX_PAGE},
        "changePassword": {"supported": False},
        "sort": {"supported": True},
        "etag": {"supported": True},
        "pagination": {
            "cursor": False,
            "index": True,
            "defaultPaginationMethod": "index",
            "defaultPageSize": DEFAULT_PAGE,
            "maxPageSize": MAX_PAGE,
        },
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "API key",
                "description": "An API key of the organisation, as an OAuth bearer token.",
                "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
                "primary": True,
            }
        ],
        **({"interopProfileConformant": True} if is_conformant else {}),
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": f"{base_url}/ServiceProviderConfig",
        },
    }


def resource_types(base_url: str) -> list[Json]:
    """The ResourceType resources (RFC 7643 §6)."""
    return [_resource_type(schema, base_url) for schema in (USER, GROUP)]


def _resource_type(schema: ResourceSchema, base_url: str) -> Json:
    result: Json = {
        "schemas": [RESOURCE_TYPE_URN],
        "id": schema.name,
        "name": schema.name,
        "description": _DESCRIPTIONS[schema.name],
        "endpoint": f"/{schema.endpoint}",
        "schema": schema.urn,
        "schemaExtensions": [{"schema": urn, "required": False} for urn in schema.extension_urns],
        "meta": {
            "resourceType": "ResourceType",
            "location": f"{base_url}/ResourceTypes/{schema.name}",
        },
    }
    return result


def schemas(base_url: str) -> list[Json]:
    """The Schema resources (RFC 7643 §7): the documents from which validation is compiled.

    They are followed by the schemas of discovery itself (§8.7.2), so that every URN in any answer's
    `schemas`, except those of messages, is found here.
    """
    names = (*RESOURCE_DOCUMENTS, *SERVICE_DOCUMENTS)
    return [_schema(orjson.loads(read_document(name)), base_url) for name in names]


def _schema(document: Json, base_url: str) -> Json:
    location = f"{base_url}/Schemas/{document['id']}"
    return {**document, "meta": {"resourceType": "Schema", "location": location}}
