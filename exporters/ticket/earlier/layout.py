"""What is where in a ticket, versions 1 and 2.

A ticket is a safetensors file. Its `__metadata__` holds one key, `recycle_ticket`, whose value is
JSON: {"sha256": <of the canonical JSON of "header">, "header": {...}}. Canonical JSON has sorted keys,
no spaces, and only ASCII. Its tensors are, for each masked layer,

    mask/<layer>      uint8, coded bits: the mask in C order, True = kept
    flips/<layer>     uint8, coded bits over the kept weights: sign differs from the seed's (if any do)
    draws/<layer>     int16 over the kept weights: number of the draw (continuous, reused)
    sources/<layer>   int32 over the kept weights: flat index in that draw (continuous, reused)

and `state/<name>` for every other array of the network's state. The header's `crc32` has each
tensor's CRC-32, so that damage is found and named; `digests` has the SHA-256 of every
rebuilt array (`models.subnetwork.array_digest`). `generator` names the draws; `recipe` records the
search's settings, and nothing is rebuilt from it. Gains and scales are float32 bits in hexadecimal.
A file with a part that no layer reads, or a header in another spelling, is refused.

Version 2 is version 1 with `options` in the header: those of the architecture (`models.options`) that
differ from their defaults, at least one. A network without such options is of version 1. A reader of
version 1 would overlook them and build another function out of the same tensors (ReLU for sign), hence
the number.
"""

PLAIN_VERSION = 1  # without options
OPTIONS_VERSION = 2

MASK = "mask/"
FLIPS = "flips/"
DRAWS = "draws/"
SOURCES = "sources/"
STATE = "state/"
OF_A_LAYER = (MASK, FLIPS, DRAWS, SOURCES)
