"""Files out of subnetworks: the ticket, and ONNX models. Knows models; nothing of runs or runtimes."""
