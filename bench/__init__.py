"""Measurements beside the alternatives, all in one run on one pvesim; `python -m bench` writes docs/benchmarks.md."""
