"""The server's description of itself, as OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_NUMBER = {"type": "number", "minimum": 0, "maximum": 1}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "one sentence"}},
}
_STATUSES = {
    "400": "The request ended early, or its form cannot be read.",
    "401": "The token is missing or wrong.",
    "408": "The request did not arrive in time.",
    "413": "The request is too large, or has too many images.",
    "415": "A content type that holds no images.",
    "422": "No usable image, or a parameter out of range.",
    "429": "Too many images wait: try again.",
}


def description(run: str, classes: Sequence[str]) -> dict[str, Any]:
    """OpenAPI document of a server.

    Args:
        run: the run that answers.
        classes: that it knows.
    """
    label = {"type": "string", "enum": list(classes)}
    top = _query("top", "classes to list by themselves", {"type": "integer", "minimum": 1})
    wanted = _query("class", "class to explain; the most probable one if left out", label)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"zoo: {run}", "version": "1"},
        "paths": {
            "/predict": {"post": _post("Probabilities for one or more images", top, _found(label))},
            "/explain": {
                "post": _post("Where an image speaks for a class", wanted, _explained(label))
            },
            "/model": {"get": _get("What the model is", "application/json")},
            "/health": {"get": _get("Whether the server answers", "application/json")},
            "/metrics": {"get": _get("Counters for Prometheus", "text/plain")},
        },
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _query(name: str, about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": about, "schema": schema}


def _post(summary: str, parameter: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    file = {"type": "string", "format": "binary"}
    texts = {"type": "array", "items": {"type": "string", "contentEncoding": "base64"}}
    bodies = {
        "image/*": file,
        "application/octet-stream": file,
        "multipart/form-data": {"type": "object", "additionalProperties": file},
        "application/json": {
            "type": "object",
            "required": ["images"],
            "properties": {"images": texts},
        },
    }
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        "summary": summary,
        "parameters": [parameter],
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": schema} for kind, schema in bodies.items()},
        },
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": found}}},
            **{code: {"description": said, "content": error} for code, said in _STATUSES.items()},
        },
    }


def _get(summary: str, kind: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "OK", "content": {kind: {}}}}}


def _found(label: dict[str, Any]) -> dict[str, Any]:
    best = _object({"class": label, "probability": _NUMBER})
    image = {
        "image": {"type": "string", "description": "name of the file, or image 0, image 1, ..."},
        "top": {"type": "array", "items": best},
        "probabilities": {"type": "object", "additionalProperties": _NUMBER},
    }
    bad = _object({"image": {"type": "string"}, "reason": {"type": "string"}})
    counts = {name: {"type": "integer"} for name in ("predicted", "left_out", "hidden")}
    return _object(
        {
            "images": {"type": "array", "items": _object(image)},
            "bad": {"type": "array", "items": bad},
            "counts": _object(counts),
        }
    )


def _explained(label: dict[str, Any]) -> dict[str, Any]:
    heat = {"type": "string", "description": "picture to lay over the image, as a data: address"}
    return _object({"class": label, "probability": _NUMBER, "heat": heat})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}
