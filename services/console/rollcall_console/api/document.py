"""The admin API as an OpenAPI 3.1 document, from its operations and models. Pure."""

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from rollcall_console.api import models
from rollcall_console.api.edge import BASE, Operation
from rollcall_console.api.problems import MEDIA_TYPE, TITLES

Json = dict[str, Any]
REF: Final = "#/components/schemas/{model}"


def document(operations: Sequence[Operation]) -> Json:
    """The whole document."""
    used = {model for each in operations for model in (each.answer, each.body) if model}
    named = sorted(used | {models.Problem}, key=lambda model: model.__name__)
    _, defined = models_json_schema([(model, "validation") for model in named], ref_template=REF)
    paths: dict[str, Json] = {}
    for each in operations:
        paths.setdefault(f"{BASE}{each.path}", {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rollcall admin API",
            "version": "1",
            "description": "What the console does, for products, scripts and Terraform. Keys are "
            "made by `rollcall api-key create`, or by an owner for one organisation.",
            "license": {"name": "See LICENSE"},
        },
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": defined["$defs"],
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "bearerFormat": "ra_…"}
            },
        },
    }


def _operation(operation: Operation) -> Json:
    parts = re.findall(r"{(\w+)}", operation.path)
    described: Json = {
        "operationId": _id(operation),
        "summary": operation.summary,
        "description": f"Needs the scope `{operation.scope}`.",
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in parts
            ),
            *(
                {
                    "name": each.name,
                    "in": "query",
                    "description": each.text,
                    "schema": each.schema,
                }
                for each in operation.parameters
            ),
        ],
        "responses": _answers(operation),
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _json(operation.body.__name__)}
    return described


def _answers(operation: Operation) -> Json:
    answers: Json = {}
    if operation.answer is None:
        answers["204"] = {"description": "Done."}
    else:
        answers[str(operation.status)] = {
            "description": "Done.",
            "content": _json(operation.answer.__name__),
        }
    failures = [400, 401, 403, 404, 409, 422, 500, 503]
    if operation.body is not None:
        failures += [413, 415]
    for status in sorted(failures):
        answers[str(status)] = {
            "description": f"{TITLES[status]}.",
            "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}},
        }
    return answers


def _json(name: str) -> Json:
    return {"application/json": {"schema": {"$ref": REF.format(model=name)}}}


def _id(operation: Operation) -> str:
    words = re.findall(r"[a-z]+", operation.path)
    return "_".join([operation.method.lower(), *words])
