"""Memory that runs out is told with what to do, and reading takes no more than it should."""

import gc
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from recycle_pipeline.exporters.ticket.writer import write_ticket
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork

# Its third step runs out of memory, as a GPU's allocator says so.
GREEDY = """
import torch
from torch import nn

def greedy(module, images):
    module.steps = getattr(module, "steps", 0) + module.training
    if module.steps >= 16:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total ...")

def net(classes, channels, image_size):
    network = nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, classes))
    network.register_forward_pre_hook(greedy)
    return network
"""


def test_a_search_that_runs_out_of_memory_says_what_to_try_and_what_is_kept(command, here, custom_module):
    """Steps per epoch: 6."""
    line = ("search", "--arch", f"{custom_module(GREEDY)}:net", "--batch-size", 256, "--epochs", 4)
    outcome = command(*line, "--output-dir", "mine")
    assert outcome.code == 1 and "Traceback" not in outcome.err
    assert re.search(
        r"^Error: the memory of cpu does not suffice for steps of 256 images \(CUDA out of memory\); try "
        r"--batch-size 128, which was tried and fits, or a smaller --width or --image-size. "
        r"What it had after epoch [12] is kept in mine/",
        outcome.err,
        re.M,
    ), outcome.err


# Runs out of memory where more than 70 images are searched with at once, as a GPU's allocator says so.
LARGE = """
import torch
from torch import nn

def greedy(module, images):
    if module.training and len(images[0]) > 70:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

def net(classes, channels, image_size):
    network = nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, classes))
    network.register_forward_pre_hook(greedy)
    return network
"""


def test_the_batch_that_is_advised_was_tried_and_goes_through(command, here, custom_module):
    line = ("search", "--arch", f"{custom_module(LARGE)}:net", "--epochs", 1, "--output-dir")
    outcome = command(*line, "mine", "--batch-size", 512)
    assert outcome.code == 1 and "; try --batch-size 64, which was tried and fits" in outcome.err
    assert command(*line, "other", "--batch-size", 64).code == 0
    outcome = command(*line, "third", "--batch-size", 140)
    assert "; try --batch-size 70, which was tried and fits" in outcome.err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_cuda_the_batch_that_is_advised_goes_through(command, here, photos_into):
    """With 3 GiB of the device's memory: steps of 512 images of 64 pixels take more."""
    photos_into(here / "photos", each=200)
    network = ("--data", "folder:photos", "--image-size", 64, "--arch", "resnet18", "--epochs", 1)
    line = ("search", *network, "--device", "cuda", "--output-dir")
    gc.collect()
    torch.cuda.empty_cache()
    whole = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (3 << 30)) / whole)
    try:
        outcome = command(*line, "mine", "--batch-size", 480)
        assert outcome.code == 1 and "Error: the memory of cuda" in outcome.err, outcome.err
        advised = re.search(r"try --batch-size (\d+), which was tried and fits", outcome.err)
        assert advised, outcome.err
        assert int(advised[1]) in (240, 120, 60, 30)
        outcome = command(*line, "other", "--batch-size", advised[1])
        assert outcome.code == 0, outcome.err
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["python", "torch"],
)
def test_memory_that_runs_out_elsewhere_is_no_traceback(command, run_copy, monkeypatch, error):
    def greedy(*arguments):
        raise error

    monkeypatch.setattr("recycle_pipeline.exporters.ticket.reader.read_verified", greedy)
    outcome = command("pack", "mine", "--force")
    assert outcome.code == 1 and "Error: memory ran out (" in outcome.err


# Data that the process may hold from now on, in megabytes; then what it reads.
LIMITED = """
import resource, sys
from recycle_pipeline.exporters.ticket.reader import read_verified
from recycle_pipeline.pipeline.data import folder
if sys.argv[2] == "folder":
    import torchvision.datasets
read_verified(sys.argv[3])
held = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (held + (int(sys.argv[1]) << 20),) * 2)
if sys.argv[2] == "ticket":
    _, arrays = read_verified(sys.argv[4])
    print(sum(array.nbytes for array in arrays.values()) >> 20)
else:
    images = folder.load_folder(sys.argv[4], image_size=128, stream_above=0)
    print(images.train_images.nbytes + images.test_images.nbytes >> 20)
"""


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    """A ticket of a few weights and one of four million."""

    def written(name, side):
        rng = np.random.default_rng(0)
        mask = rng.random((side, side)) < 0.1
        tensor = MaskedTensor("layer", "kaiming_normal", np.float32(0.1), mask, np.float32(0.1))
        head = "none", ("a", "b"), 1, 8, (0.5,), (0.5,), 0, "binary", 0.9, "layer"
        write_ticket(Subnetwork(*head, (tensor,)), path := tmp_path_factory.mktemp("tickets") / name)
        return path

    return written("small", 8), written("large", 2048)


@pytest.fixture
def limited(tickets, import_path, tmp_path):
    def read(megabytes, what, path):
        line = [sys.executable, "-c", LIMITED, str(megabytes), what, str(tickets[0]), str(path)]
        environment = import_path | {
            "OMP_NUM_THREADS": "1",
            "RECYCLE_PIPELINE_CACHE": str(tmp_path / "cache"),
        }
        return subprocess.run(line, env=environment, capture_output=True, text=True)

    return read


def test_a_ticket_is_read_in_twice_the_memory_of_its_dense_weights(limited, tickets):
    """16 MB of weights; less than they take cannot do."""
    done = limited(32, "ticket", tickets[1])
    assert done.stdout == "16\n", done.stderr
    assert "MemoryError" in limited(12, "ticket", tickets[1]).stderr


def test_a_large_folder_is_loaded_in_less_memory_than_its_pixels_take(limited, tickets, write_images):
    """140 MB of pixels, of which 16 are read at a time for their digest."""
    for name in "ab":
        folder = write_images(f"photos/{name}", 1500, (8, 8), "RGB", ".bmp").parent
    done = limited(70, "folder", folder)
    assert done.stdout == "140\n", done.stderr


@pytest.fixture
def write_images(tmp_path):
    """`count` small images in a folder."""
    from PIL import Image

    def write(name, count, size, mode, suffix):
        (folder := tmp_path / name).mkdir(parents=True)
        for index in range(count):
            Image.new(mode, size, (index % 256, index % 199, index % 97)).save(folder / f"{index:04}{suffix}")
        return folder

    return write
