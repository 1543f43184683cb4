"""Secrets by reference: found in a manifest's values, read from their stores, never kept in a plain repr."""
