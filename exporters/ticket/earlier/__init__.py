"""Tickets of versions 1, 2 and 3: read for ever, written no more.

Of versions 1 and 2 `layout` says what is where, `bits` decodes, `reader` puts the parts together. `version3`
does that of version 3, with what it has in common with the latest.
"""
