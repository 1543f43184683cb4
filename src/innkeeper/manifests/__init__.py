"""Text to what is declared, and back."""

from innkeeper.manifests.loading import Loaded, load
from innkeeper.manifests.schema import json_schema
from innkeeper.manifests.writing import manifest, manifest_of, to_yaml

__all__ = ["Loaded", "json_schema", "load", "manifest", "manifest_of", "to_yaml"]
