"""The stages of a run, in order: search, pack, export, verify. Thin: the parts do the work."""
