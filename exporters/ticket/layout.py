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
differ from their defaults, at least one. A network without such options is stored as version 1, byte
for byte as before. A reader of version 1 would overlook them and build another function out of the
same tensors (ReLU for sign), hence the number.
"""

import json

FORMAT_VERSION = 2  # the latest
PLAIN_VERSION = 1  # without options
METADATA_KEY = "recycle_ticket"
GENERATOR = "splitmix64/1"  # the draws of models/draws.py; another generator gets another name

MASK = "mask/"
FLIPS = "flips/"
DRAWS = "draws/"
SOURCES = "sources/"
STATE = "state/"

MAX_LAYERS = 10_000
MAX_DIMENSIONS = 8
MAX_CLASSES = 1_000_000
MAX_CHANNELS = 4096
MAX_IMAGE_SIZE = 8192  # px
MAX_LAYER_WEIGHTS = 1 << 30  # 1.07e9 weights in one layer; numpy masks of 1 GiB


def canonical_json(value: object) -> str:
    """The one spelling of a value that digests are taken over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
