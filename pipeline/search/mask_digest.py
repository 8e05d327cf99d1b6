"""Digests of masks, taken on their device, so that processes can compare them without waiting for a CPU."""

import torch
from torch import Tensor
from torch.nn import functional as F

from recycle_pipeline.models.draws_torch import bits_of
from recycle_pipeline.models.masked_network import MaskedNetwork

PLACES = (1, 2, 4, 8, 16, 32, 64, 128)  # of a byte's bits
KEYS = (1, 2)  # of the streams that the factors are drawn from


def mask_digests(masked: MaskedNetwork) -> Tensor:
    """(layers, 2) int64 on the network's device: two multilinear hashes, modulo 2**64, of each layer's mask.

    The mask's bits make words of 64; each is taken times an odd number drawn for its place, and the products
    are summed. One word that differs always shows, and of more all but one case in 2**63, in each hash.
    Enough against chance, not against intent.
    """
    words = [_words(layer.weight.mask) for layer in masked.layers]
    flat = torch.cat(words)
    factors = torch.stack([bits_of(key, len(flat), flat.device) | 1 for key in KEYS])
    parts = torch.split(flat * factors, [len(part) for part in words], dim=1)
    return torch.stack([part.sum(1) for part in parts])


def _words(mask: Tensor) -> Tensor:
    """(n,) int64: a mask's bits in row-major order, the last word filled with zeros."""
    bits = mask.reshape(-1).to(torch.uint8)
    bits = F.pad(bits, (0, -len(bits) % 64)).view(-1, 8)
    places = torch.tensor(PLACES, dtype=torch.uint8, device=bits.device)
    return (bits * places).sum(1, dtype=torch.uint8).view(torch.int64)
