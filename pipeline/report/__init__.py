"""The report of runs: facts read from their folders, and pages, text and JSON made of them."""
