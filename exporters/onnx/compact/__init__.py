"""`--export onnx-compact`: weights packed into a few bits each, which standard operators unpack at load.

`levels` looks at a weight, `gaps` and `trits` pack it, `decoder` writes the operators, `convert` goes through
a model. What the operators compute is constant, so a runtime computes it once and drops them.
"""
