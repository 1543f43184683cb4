"""Kubernetes' door: custom resources to the same engine, and back to their status."""
