"""The tool's version: part of every stage key. `pyproject.toml` has the same (a test compares)."""

VERSION = "0.1.0"
