"""Made tests/golden/run-0.1.0, once, with recycle-pipeline 0.1.0; NOT to be run again.

python tests/golden/make_run_0_1_0.py FOLDER
"""

import sys
from pathlib import Path

import recycle_pipeline.pipeline
from recycle_pipeline.pipeline.stages import verify

verify.LATENCY_SECONDS = 0.2
root = Path(sys.argv[1])
recycle_pipeline.pipeline.run(
    arch="conv2", width=0.125, epochs=2, seed=7, export="onnx,onnx-compact", device="cpu", output_dir=root
)
(root / "report.html").unlink()  # made again by every release
