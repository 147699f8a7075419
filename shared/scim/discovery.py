"""What the service says of itself (RFC 7643 §5 to §7, RFC 7644 §4): only what works.

`base_url` is the organisation's SCIM base, without a slash at its end.
"""

import orjson

from shared.scim.json_body import Json
from shared.scim.profile import Profile
from shared.scim.schema import GROUP, USER, ResourceSchema, read_document

SERVICE_PROVIDER_CONFIG_URN = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
RESOURCE_TYPE_URN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
MAX_RESULTS = 200

_DOCUMENTS = ("User", "EnterpriseUser", "Group")
_DESCRIPTIONS = {"User": "Members of the organisation.", "Group": "Groups of members."}


def service_provider_config(
    base_url: str, profile: Profile, *, max_results: int = MAX_RESULTS
) -> Json:
    """The ServiceProviderConfig resource (RFC 7643 §5).

    `max_results` is the largest page. The profile changes what is refused, and nothing that is
    announced here so far.
    """
    del profile
    return {
        "schemas": [SERVICE_PROVIDER_CONFIG_URN],
        "patch": {"supported": True},
        "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": True, "maxResults": max_results},
        "changePassword": {"supported": False},
        "sort": {"supported": False},
        "etag": {"supported": False},
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "API key",
                "description": "An API key of the organisation, as an OAuth bearer token.",
                "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
                "primary": True,
            }
        ],
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
    """The Schema resources (RFC 7643 §7): the documents that validation is compiled from."""
    return [_schema(orjson.loads(read_document(name)), base_url) for name in _DOCUMENTS]


def _schema(document: Json, base_url: str) -> Json:
    location = f"{base_url}/Schemas/{document['id']}"
    return {**document, "meta": {"resourceType": "Schema", "location": location}}
