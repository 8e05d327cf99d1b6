"""`--export onnx-compact`: weights packed into a few bits each, which standard operators unpack at load.

`levels` looks at a weight, `gaps` and `trits` pack it, `drawn` says where its signs were drawn, `packings`
chooses the ways. `decoder` and `seeded` write the operators, with `codes`; `order` has the largest weight
unpacked first; `convert` goes through a model. What the operators compute is constant: a runtime computes it
once and drops them.
"""
