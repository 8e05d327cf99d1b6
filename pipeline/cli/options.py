"""The options that commands share. All default to None: not given, so the file or `RunConfig` decides."""

from pathlib import Path
from typing import Any

import click

from recycle_pipeline.models.draws import INITS
from recycle_pipeline.models.options import ACTIVATIONS, BATCH_NORMS
from recycle_pipeline.pipeline.cli.sections import section
from recycle_pipeline.pipeline.config import (
    ALLOCATIONS,
    OPTIMIZERS,
    PRECISIONS,
    RECYCLE_FROM,
    REUSES,
    ROUNDINGS,
    SCALE_FANS,
    SCHEDULES,
    SCOPES,
    SCORE_RULES,
    SUBNETWORKS,
)
from recycle_pipeline.pipeline.forms import FORMS

PATH = click.Path(path_type=Path)
PROVIDER = "NAME[:KEY=VALUE,...]"
FLAG: dict[str, Any] = {"is_flag": True, "default": None}


ARCH = click.option(
    "--arch",
    help="conv2/4/6/8, resnet18/34/50, resnet20/32/44/56/110, vgg_small, vgg_small_bn, "
    "or your own package.module:function. [resnet18]",
)

WHAT = section(
    "Network and subnetwork",
    click.option(
        "--preset",
        metavar="NAME",
        help="Every setting as a published search had it; the command `presets` lists them. "
        "A --config file and options win over it. [none]",
    ),
    ARCH,
    click.option("--width", type=float, help="Factor on its channels and hidden units. [1]"),
    click.option(
        "--activations",
        type=click.Choice(ACTIVATIONS),
        help="relu, or binary: the sign of each activation (MPT-1/1). [relu]",
    ),
    click.option(
        "--batch-norm",
        type=click.Choice(BATCH_NORMS),
        help="fixed: without gamma and beta. learned: trained with the scores. [learned; on digits, "
        "with binary activations and in your own network fixed]",
    ),
    click.option("--prune", type=float, help="Fraction of weights removed, 0 to 1: 0.9 keeps 10 %. [0.9]"),
    click.option("--keep", type=float, help="Fraction kept, in place of --prune."),
    click.option(
        "--subnetwork",
        type=click.Choice(SUBNETWORKS),
        help="binary: signs times a gain (Biprop). continuous: drawn values (edge-popup). [binary]",
    ),
    click.option(
        "--scope", type=click.Choice(SCOPES), help="Rank weights per layer, or over all layers. [layer]"
    ),
    click.option(
        "--allocation",
        type=click.Choice(ALLOCATIONS),
        help="With --scope layer: the same density for all, or more for small layers (see docs/methods.md). "
        "[root; on digits uniform]",
    ),
    click.option(
        "--layer-minimum",
        type=float,
        help="With --scope global: part of its own share that each layer keeps at the least, and at least "
        "one weight; 0 as published. [0.01]",
    ),
    click.option(
        "--scores",
        type=click.Choice(SCORE_RULES),
        help="Rank by the scores' magnitudes (edge-popup, Biprop), or as they are (IteRand). "
        "[magnitude; conv2-8 but on digits signed]",
    ),
    click.option(
        "--rounding",
        type=click.Choice(ROUNDINGS),
        help="Published rounding of the number kept; the two differ by a weight or two. [edge-popup]",
    ),
)
DATA = section(
    "Data",
    click.option("--data", help="digits, cifar10, cifar100, mnist, fashion-mnist or folder:PATH. [digits]"),
    click.option(
        "--data-root", type=click.Path(), help="Folder of the data sets. [~/.cache/recycle-pipeline/data]"
    ),
    click.option("--download/--no-download", **FLAG, help="Fetch the data set if it is missing."),
    click.option("--image-size", type=int, help="Side in pixels to bring a folder's images to."),
    click.option(
        "--skip-unreadable/--no-skip-unreadable",
        **FLAG,
        help="Leave out a folder's images that cannot be read, and list them. [refuse the folder]",
    ),
    click.option(
        "--hold-out",
        type=int,
        help="Train images to keep from training and measure each epoch on, in place of the test images, "
        "which `verify` alone then sees. [0]",
    ),
    click.option(
        "--cutout",
        type=int,
        help="Side in pixels of a square that each training image loses at random; against overfitting in "
        "long searches. [0; from 100 epochs on 8 on CIFAR, but for conv2-8]",
    ),
)
SEARCH = section(
    "Search",
    click.option(
        "--epochs",
        type=int,
        help="Passes over the training images. [CIFAR below 90 % removed 200, but for conv2-8; digits 12, "
        "others 100]",
    ),
    click.option(
        "--batch-size",
        type=int,
        help="Images per step; of several processes, of each. [digits 64, others 256, conv2-8 128]",
    ),
    click.option("--seed", type=int, help="Of every draw, 0 to 2**63 - 1. [0]"),
    click.option("--device", help="auto, cpu, cuda or cuda:N. [auto: a GPU if there is one]"),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        help="Numbers that the search computes with: float32 in full; or on CUDA bfloat16, or tf32, float32 "
        "whose convolutions multiply 10 bits. [auto: bfloat16 on CUDA, float32 on a CPU]",
    ),
    click.option(
        "--processes",
        type=int,
        help="Processes that search together, of which torchrun says how many; refused if it says another "
        "number. [as many as torchrun started]",
    ),
    click.option(
        "--tensorboard/--no-tensorboard",
        **FLAG,
        help="Scalars of each epoch in the run folder's tensorboard/; needs `pip install tensorboard`.",
    ),
)
REUSE = section(
    "Reuse of weights",
    click.option(
        "--reuse",
        type=click.Choice(REUSES),
        help="recycle: copy high-scored weights over low-scored ones. "
        "rerandomize: draw pruned ones anew. hybrid: half of each. [recycle]",
    ),
    click.option(
        "--reuse-rate",
        type=float,
        help="Fraction of a layer per event. [recycle and hybrid 0.2, rerandomize 0.1]",
    ),
    click.option(
        "--reuse-period", type=int, help="Epochs from event to event. [a tenth of the epochs, at least 2]"
    ),
    click.option(
        "--reuse-period-steps",
        type=int,
        help="Steps from event to event, to the end of the search, in place of epochs. [by epochs]",
    ),
    click.option(
        "--recycle-from",
        type=click.Choice(RECYCLE_FROM),
        help="What recycling copies: the highest-scored weights, or those above the lowest. "
        "[next-lowest for conv2-8 but on digits, else top]",
    ),
)
RECIPE = section(
    "Draws and optimizer",
    click.option(
        "--init",
        type=click.Choice(INITS),
        help="Distribution of the drawn weights. "
        "[signed_constant; binary conv2-8, but on digits: kaiming_normal]",
    ),
    click.option(
        "--scale-fan",
        type=click.Choice(SCALE_FANS),
        help="Fan of the weights' scale: times the density, as it is, or as in published code. [keep]",
    ),
    click.option(
        "--learning-rate",
        type=float,
        help="Peak, on the scores. [LARS 0.003; Adam 0.1; SGD for a global batch of 256: 0.1, shorter than "
        "100 epochs times sqrt(100 / epochs), conv2-8 0.8; on digits 0.2, conv2-8 0.1]",
    ),
    click.option(
        "--learning-rate-after",
        metavar="EPOCHS:RATE[,...]",
        help="Another peak once that many epochs are over. A search that stopped goes on with it from its "
        "checkpoint. [none]",
    ),
    click.option(
        "--schedule",
        type=click.Choice(SCHEDULES),
        help="Of the learning rate: cosine to 0 by steps, or by epochs as published; or constant. [cosine]",
    ),
    click.option(
        "--optimizer",
        type=click.Choice(OPTIMIZERS),
        help="Of the scores; Adam has no weight decay; LARS's rate is a share of the scores. [digits lars, "
        "others sgd]",
    ),
    click.option("--momentum", type=float, help="Of SGD and LARS. [0.9]"),
    click.option(
        "--weight-decay",
        type=float,
        help="Of SGD and LARS, on the scores. [LARS 0, SGD: conv2-8 1e-4, others 5e-4, on digits 5e-3]",
    ),
    click.option("--warmup", type=float, help="Epochs of linear warm-up. [0; conv2-8 but on digits a 20th]"),
    click.option(
        "--label-smoothing",
        type=float,
        help="Share of the target spread over all classes. [digits 0.1, others 0]",
    ),
)
TICKET = section(
    "Ticket",
    click.option(
        "--statistics-bits",
        type=int,
        help="Bits of the fractions of batch norm's numbers, 1 to 23. With fewer the ticket is smaller and "
        "not quite what was searched; `verify` says what that does to accuracy. [23, lossless]",
    ),
)
EXPORT = section(
    "Export",
    click.option(
        "--export",
        multiple=True,
        help=f"Form to write beside onnx, which is always written; repeat, or give a comma list. Known: "
        f"{', '.join(FORMS)}, or all (see docs/onnx-forms.md). [onnx]",
    ),
    click.option(
        "--embed-preprocessing/--no-embed-preprocessing",
        **FLAG,
        help="The model takes uint8 pixels and normalises inside the graph.",
    ),
    click.option(
        "--ort-target",
        metavar="X.Y",
        help="Oldest onnxruntime that must run the forms, 1.15 or later: those that need a newer one are "
        "refused, or left out of all. [what each needs]",
    ),
    click.option(
        "--shrink/--no-shrink",
        **FLAG,
        help="Remove filters and channels that the mask has made dead, exactly; --no-shrink keeps shapes. "
        "[shrink]",
    ),
)
VERIFY = section(
    "Verify",
    click.option(
        "--provider",
        metavar=PROVIDER,
        help="ONNX Runtime provider: cpu, cuda, or any that it knows, such as openvino:device_type=CPU; one "
        "that cannot run here is an error. [auto: cuda where it computes, else cpu]",
    ),
    click.option(
        "--max-difference", type=float, help="Gate: largest difference of logits to torch (exit 3). [1e-4]"
    ),
    click.option(
        "--min-agreement",
        type=float,
        help="Gate: fraction of images whose logits must lie within --max-difference (exit 3). "
        "[all; binary activations 0.99]",
    ),
    click.option(
        "--max-accuracy-drop",
        type=float,
        help="Gate: accuracy lost against torch, a fraction (exit 4). [0.005; binary activations 0.02]",
    ),
    click.option("--min-top1", type=float, help="Gate: lowest accuracy, a fraction (exit 4). [not asked]"),
    click.option(
        "--max-slowdown",
        type=float,
        help="Gate: slower than the dense twin by at most this fraction "
        "(exit 5, or 7 if too noisy to tell). [not asked]",
    ),
    click.option(
        "--timed-batch",
        metavar="N[,N...]",
        help="Images a call while timed; gates judge the first, the others are told beside it. [1]",
    ),
    click.option(
        "--timed-threads",
        metavar="N[,N...]",
        help="Threads of ONNX Runtime while timed, each with each batch; `all` for every core. [1]",
    ),
)
FOLDER = section(
    "Run folder and settings",
    click.option(
        "--output-dir",
        type=click.Path(),
        help="Run folder. [runs/<arch>-<data>-<prune>-<hash of the settings>]",
    ),
    click.option(
        "--config",
        "config_file",
        type=click.Path(),
        help="TOML file of these settings; options on the command line win.",
    ),
    click.option(
        "--force",
        multiple=True,
        metavar="STAGE",
        help="Redo a stage even if nothing changed: search, pack, export, verify.",
    ),
)
OUTPUT = section(
    "Output",
    click.option("--quiet", is_flag=True, help="No progress; the result and errors only."),
    click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout."),
)
