"""Turn a model file or a `predict(images) -> logits` callable into numbers and verdicts.

Import what you need from its module; importing this package alone does not load ONNX Runtime.

    session   open a file under a provider that was asked for, never another
    accuracy  logits of a split, top-1 with its interval
    parity    how far two sets of logits are apart
    latency   interleaved timing, ratio of medians with its interval
    gates     numbers and limits to verdicts, verdicts to exit codes
    verify    all of the above in one report; verify_models of several files in one table
    workers   fresh processes that time models: timing_worker is what runs in them
    blocks    both models opened anew and run in turns: the unit of what follows
    sequential, slowdown, ab   evidence that may be looked at after every block; verdicts; the loop
    gate      candidate against baseline, or against a stored one, beside a reference
    bench     models in turns over batch sizes and threads
    overlap   what two subnetworks share
    machine   what the numbers were measured on
"""

from recycle_pipeline.models.telemetry import turn_off

turn_off()  # before anything imports ONNX Runtime
