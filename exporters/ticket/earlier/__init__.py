"""Tickets of versions 1 and 2: read for ever, written no more.

`layout` says what is where, `bits` decodes, `reader` puts the parts together.
"""
