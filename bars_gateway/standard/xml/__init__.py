"""FHIR's XML: `to_tree` reads it into the tree that JSON is read into, `from_tree` writes it."""

from bars_gateway.standard.xml.reading import Document, to_tree
from bars_gateway.standard.xml.writing import from_tree

__all__ = ["Document", "from_tree", "to_tree"]
