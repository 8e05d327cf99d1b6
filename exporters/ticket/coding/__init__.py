"""Coding of bits at their entropy, with integers alone: the same bytes on every machine.

`tables` says how likely symbols are, `rans` turns symbols into words, `frames` guards them with a length and
a CRC, `streams` puts vectors of bits together.
"""
