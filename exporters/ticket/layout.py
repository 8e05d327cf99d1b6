"""Names and limits of a ticket, version 4; FORMAT.md beside this file says what each is for."""

import json

FORMAT_VERSION = 4
UNSTAGED_VERSION = 3  # the last without stages and without raw bytes
METADATA_KEY = "recycle_ticket"
GENERATOR = "splitmix64/1"  # the draws of models/draws.py; another generator gets another name

HEADER = "header"
CODED = "coded"
# Of version 3 parts, of version 4 what `coded` has one after the other.
CONTEXTS = "contexts"
MASKS = "masks"
MOVED = "moved"
STATE = "state"
ELSEWHERE = "elsewhere"
SOURCES = "sources"
RAW = "raw"

MAX_LAYERS = 10_000
MAX_ARRAYS = 100_000  # of the state
MAX_DIMENSIONS = 8
MAX_CLASSES = 1_000_000
MAX_CHANNELS = 4096
MAX_IMAGE_SIZE = 8192  # px
MAX_NAME = 1024  # characters, of a layer, an array or an arch
MAX_HEADER = 1 << 22  # bytes, inflated
MAX_STATE = 1 << 28  # numbers
MAX_LAYER_WEIGHTS = 1 << 30
MAX_WEIGHTS = 1 << 31
# Of a file: what a byte can stand for. 99.99 % removed takes 7,000 weights a byte at its entropy.
MAX_WEIGHTS_PER_BYTE = 1 << 14
MAX_STAGES = 4096  # kernel positions that are decoded in turn, of all layers: each takes time


def canonical_json(value: object) -> str:
    """The one spelling of a value that digests are taken over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
