"""Builds the wheel, installs it into a folder of its own, and runs the command from there.

The environment's other packages are reused (they are the same wheels), so this checks what our wheel
holds: every package, the typing marks, the entry point, and nothing under a generic name; and that the
same tree gives the same wheel.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

EARLIEST = "315532800"  # 1980, where the times of zip files begin: for a tree without git


def built(folder: Path) -> Path:
    """The wheel of this tree; its files bear the time of the last commit (reproducible-builds.org)."""
    asked = ["git", "log", "-1", "--format=%ct"]
    committed = subprocess.run(asked, capture_output=True, text=True).stdout.strip() or EARLIEST
    line = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder)]
    subprocess.run(line, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": committed})
    (wheel,) = folder.glob("*.whl")
    return wheel


def main(work: Path) -> None:
    """Raises CalledProcessError or SystemExit where the wheel is not whole."""
    wheel, again = (built(work / name) for name in ("dist", "again"))
    if wheel.read_bytes() != again.read_bytes():
        sys.exit("the wheel, built twice from one tree, is not the same file")
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
