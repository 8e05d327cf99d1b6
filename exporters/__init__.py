"""Files out of subnetworks: the ticket, and ONNX models. Knows models; nothing of runs or runtimes."""

from recycle_pipeline.models.telemetry import turn_off

turn_off()  # before anything imports ONNX Runtime
