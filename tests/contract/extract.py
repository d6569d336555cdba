#!/usr/bin/env python3
"""Reduces an OpenAPI document to the structure the contract test compares.

    extract.py openapi.json > peer-1.58.2.json

One entry an operation: `METHOD /path/{}` with its parameters, the field names of its request body, its
success statuses, and the field names of its answer (`[]` stands before the fields of a list's items).
Names of path parameters do not count; descriptions, types and defaults are left out.
"""

import json
import re
import sys

METHODS = ("get", "post", "put", "patch", "delete")


def fields(schema: dict, schemas: dict, depth: int = 0) -> set[str]:
    """The top-level field names of a schema, of all its alternatives."""
    if depth > 12:
        return set()
    if "$ref" in schema:
        return fields(schemas[schema["$ref"].rsplit("/", 1)[-1]], schemas, depth + 1)
    found = set(schema.get("properties", {}))
    for alternative in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(alternative, []):
            found |= fields(part, schemas, depth + 1)
    if "items" in schema:
        found |= {f"[]{name}" for name in fields(schema["items"], schemas, depth + 1)}
    return found


def body_fields(content: dict, schemas: dict) -> list[str]:
    return sorted(set().union(*(fields(media.get("schema", {}), schemas) for media in content.values()), set()))


def operation(path_item: dict, op: dict, schemas: dict) -> dict:
    parameters = path_item.get("parameters", []) + op.get("parameters", [])
    answers = {status: body for status, body in op.get("responses", {}).items() if status.startswith("2")}
    answered = set()
    for body in answers.values():
        answered |= set(body_fields(body.get("content", {}), schemas))
    return {
        "parameters": sorted(f"{p['in']} {p['name']}" for p in parameters if p["in"] != "path"),
        "request": body_fields(op.get("requestBody", {}).get("content", {}), schemas),
        "statuses": sorted(answers),
        "response": sorted(answered),
    }


def main() -> None:
    document = json.load(open(sys.argv[1]))
    schemas = document.get("components", {}).get("schemas", {})
    structure = {}
    for path, path_item in document["paths"].items():
        for method in METHODS:
            if method in path_item:
                key = f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}"
                structure[key] = operation(path_item, path_item[method], schemas)
    print("{")
    lines = [f"  {json.dumps(key)}: {json.dumps(structure[key])}" for key in sorted(structure)]
    print(",\n".join(lines))
    print("}")


main()
