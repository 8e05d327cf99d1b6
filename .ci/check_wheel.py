"""Builds the wheel, installs it into a folder of its own, and runs the command from there.

The environment's other packages are reused (they are the same wheels), so this checks what our wheel
holds: every package, the typing marks, the entry point, and nothing under a generic name.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path


def main(work: Path) -> None:
    """Raises CalledProcessError or SystemExit where the wheel is not whole."""
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", str(work / "dist")], check=True)
    (wheel,) = (work / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    stray = [n for n in names if not n.startswith(("recycle_pipeline/", "recycle_pipeline-"))]
    if stray:
        sys.exit(f"the wheel installs outside recycle_pipeline: {stray}")
    if "recycle_pipeline/pipeline/schemas/gate.schema.json" not in names:
        sys.exit("the wheel has no schema documents")
    site = work / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True)
    code = (
        "import recycle_pipeline.pipeline as p, sys; assert p.__file__.startswith(sys.argv[1]), p.__file__;"
        "from recycle_pipeline.pipeline.cli import main;"
        "main(['run', '--arch', 'conv2', '--epochs', '1', '--quiet', '--output-dir', sys.argv[2]])"
    )
    command = [sys.executable, "-c", code, str(site), str(work / "run")]
    subprocess.run(command, check=True, cwd=work, env={**os.environ, "PYTHONPATH": str(site)})
    if not (work / "run" / "report.html").is_file():  # made of templates and a style, which are no modules
        sys.exit("the wheel's run left no report.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
