"""The stages of a run, in order: search, pack, export, verify. Thin: each calls the parts that do the work."""
