"""The OpenAPI document is the code's, is one, and names every route that there is."""

import re
from pathlib import Path

import yaml

import docs.generate as generate
from docs import openapi
from rollcall.scim.errors import ScimError
from rollcall.scim.schema import GROUP, USER
from tests.conformance.fuzz import operations


def test_the_published_openapi_document_is_the_one_the_code_describes() -> None:
    """`make docs` writes it."""
    published = (Path(generate.__file__).parent / "openapi.yaml").read_text()

    assert yaml.safe_load(published) == openapi.document()
    assert published == generate.openapi_document()


def test_every_operation_is_one_that_a_fuzzer_can_read() -> None:
    assert len(operations()) == 19


def test_every_attribute_of_the_schemas_is_described_for_reading_and_for_writing() -> None:
    schemas = openapi.document()["components"]["schemas"]

    for schema in (USER, GROUP):
        served = schemas[schema.name]["properties"]
        taken = schemas[f"{schema.name}ToWrite"]["properties"]
        for attribute in schema.attributes.values():
            assert attribute.name in served
            assert (attribute.name in taken) != (
                attribute.is_read_only and attribute.name != "schemas"
            )
        for urn in schema.extension_urns:
            for attribute in schema.extensions[urn].attributes.values():
                assert attribute.name in served[urn]["properties"]


def test_every_status_that_an_error_can_have_is_described() -> None:
    """But for our own mistakes, for methods that are not offered, and for what is not there."""
    described = {int(name[6:]) for name in openapi.document()["components"]["responses"]}
    raised = {kind.status for kind in ScimError.__subclasses__()}

    assert raised - described <= {405, 500, 501}


def test_every_reference_leads_somewhere() -> None:
    document = openapi.document()

    references = set(re.findall(r"'\$ref': '(#/[^']+)'", str(document)))
    assert len(references) > 30
    for reference in references:
        place = document
        for name in reference[2:].split("/"):
            place = place[name]
