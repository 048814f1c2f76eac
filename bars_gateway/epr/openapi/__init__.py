"""
The socket in the words of OpenAPI 3.1: what can be asked, and what every answer holds.

    operations ─┐
                ├─► document() ──► GET /openapi.json
    schemas ────┘

The documents in the folders are the same as those on the socket, so their schemas are too.
The lists of values come from the code. A test asks a running gateway all of this and holds
its answers against the schemas, in which no member may be missing and none may be extra.
"""

from bars_gateway import __version__
from bars_gateway.epr.openapi.operations import OPERATIONS
from bars_gateway.epr.openapi.order_schemas import ORDER_SCHEMAS
from bars_gateway.epr.openapi.schemas import MOVE_SCHEMAS, SCHEMAS, Schema

__all__ = ["document"]


def document() -> Schema:
    """Return the whole description, as JSON objects."""
    paths: dict[str, Schema] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "bars_gateway: the EPR's socket",
            "version": __version__,
            "description": "HTTP on a Unix socket, one for each provider. Instants are UTC. A"
            " member without a value is there as null.",
        },
        "servers": [{"url": "http://gateway", "description": "the Unix socket of the provider"}],
        "paths": paths,
        "components": {"schemas": SCHEMAS | MOVE_SCHEMAS | ORDER_SCHEMAS},
    }
