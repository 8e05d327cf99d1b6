"""The kernels of 64-bit ARM processors give what those of this one do: compiled for them, and emulated."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recycle_pipeline.exporters.kernel.build import OPTIONS, SOURCES

pytestmark = pytest.mark.usefixtures("kernels")
HERE = Path(__file__).parent
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"  # Debian: gcc-aarch64-linux-gnu, qemu-user


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """All sources and a program that runs networks, for such a processor, in one file."""
    missing = [name for name in (COMPILER, EMULATOR) if not shutil.which(name)]
    if missing:
        pytest.skip(f"not here: {', '.join(missing)}")
    made = tmp_path_factory.mktemp("arm") / "emulated"
    options = [each for each in OPTIONS if each != "-fvisibility=hidden"]
    warnings = ("-Wall", "-Wextra", "-Werror")
    command = [COMPILER, *options, *warnings, "-static", f"-I{SOURCES}", str(HERE / "emulated.c")]
    command += [*map(str, sorted(SOURCES.glob("*.c"))), "-o", str(made), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return made


def test_every_path_of_it_gives_the_same(program, import_path):
    line = [sys.executable, str(HERE / "emulated.py"), EMULATOR, str(program)]
    done = subprocess.run(line, env=import_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[0]) > 100
