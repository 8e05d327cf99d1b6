"""The ticket: one safetensors file that rebuilds a network from seed and masks, bit for bit.

`layout` names the parts, `bits` codes them, `writer` and `reader` put them together.
"""
