"""`pack`: a run folder's search, or a state dict from elsewhere, to a ticket."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.options import ACTIVATIONS, BATCH_NORMS
from recycle_pipeline.pipeline.checks import option
from recycle_pipeline.pipeline.cli import options as opt
from recycle_pipeline.pipeline.cli.console import reporter_for
from recycle_pipeline.pipeline.cli.sections import Sectioned, options, section
from recycle_pipeline.pipeline.cli.stages import FORCE, run_one_stage
from recycle_pipeline.pipeline.importing.method import METHODS

if TYPE_CHECKING:
    from recycle_pipeline.pipeline.importing.request import FileRequest

NETWORK = section(
    "Of a file: its network",
    click.option("--arch", help="Architecture whose tensors it has, as in `run`; needed."),
    click.option("--width", type=float, help="Factor on its channels and hidden units. [1]"),
    click.option("--activations", type=click.Choice(ACTIVATIONS), help="relu, or binary. [relu]"),
    click.option(
        "--batch-norm", type=click.Choice(BATCH_NORMS), help="learned: with gamma and beta. [fixed]"
    ),
    click.option(
        "--rename",
        multiple=True,
        metavar="OLD=NEW",
        help="Beginning of tensors' names, and what stands for it here; repeat. Names of hidden-networks, "
        "Biprop and torchvision are known.",
    ),
)
INPUT = section(
    "Of a file: what the network takes",
    click.option(
        "--data", help="Data set it is for, as in `run`; says all of the below, and lets `verify` run."
    ),
    click.option("--data-root", type=click.Path(), help="Folder of the data sets."),
    click.option("--download/--no-download", **opt.FLAG, help="Fetch the data set if it is missing."),
    click.option("--image-size", type=int, help="Side of the images in pixels."),
    click.option("--classes", metavar="N|A,B,...", help="Without --data: how many, or their names."),
    click.option("--mean", metavar="M,...", help="Of pixels / 255, per channel. [the data set's]"),
    click.option("--std", metavar="S,...", help="The same for the standard deviation. [the data set's]"),
)
MASKS = section(
    "Of a file: its masks",
    click.option(
        "--method",
        type=click.Choice(METHODS),
        help="Of a file with scores: what was done with them. Other files hold their masks, as weight_orig "
        "and weight_mask or as zeros.",
    ),
    click.option("--keep", type=float, help="With --method: fraction kept (prune_rate in published code)."),
    click.option("--prune", type=float, help="Fraction removed, in place of --keep."),
    click.option(
        "--scope",
        type=click.Choice(("layer", "global")),
        help="Whether it holds per layer or over all. [layer]",
    ),
    click.option(
        "--unmasked",
        multiple=True,
        metavar="LAYER",
        help="Store this layer as it is, 32 bits a weight; repeat. For first and last layers left dense.",
    ),
    click.option("--seed", type=int, help="Of the draws whose signs the ticket's are compared with. [0]"),
    click.option("--output-dir", type=click.Path(), help="Run folder. [runs/<arch>-<file>-<its digest>]"),
)


@click.command(cls=Sectioned, short_help="Store a searched subnetwork, or a state dict, as a ticket.")
@click.argument("source", type=click.Path())
@options(opt.TICKET, NETWORK, INPUT, MASKS, section("Output", *FORCE), opt.OUTPUT)
def pack(source: str, **given: Any) -> None:
    """Store what a run folder's search found as a ticket; or the masked network of a state dict.

    SOURCE is a run folder, or a file of weights: .safetensors, .pt, .pth, .ckpt, .bin, .tar.

    \b
    Examples:
      recycle-pipeline pack runs/mine --statistics-bits 8
      recycle-pipeline pack pruned.pt --arch resnet18 --data cifar10
      recycle-pipeline pack model_best.pth --arch conv6 --method biprop --keep 0.2 --data cifar10
      recycle-pipeline pack net.safetensors --arch vgg_small --classes 10 --image-size 32
        --mean 0.49,0.48,0.45 --std 0.25,0.24,0.26 --unmasked classifier

    A ticket holds masks, signs and one gain per layer: the kept weights of a layer must be +g or -g. No code
    in the file is run. `export` and `verify` go on from the folder that is made, if --data was given.
    """
    quiet, as_json, force = given.pop("quiet"), given.pop("as_json"), given.pop("force")
    bits = given.pop("statistics_bits")
    if Path(source).is_dir():
        of_files = [name for name, value in given.items() if value not in (None, ())]
        if of_files:
            raise UsageFault(
                f"{option(of_files[0])} is for a file of weights, and {source} is a folder; leave it out"
            )
        output = {"quiet": quiet, "as_json": as_json, "force": force}
        run_one_stage("pack", source, {"statistics_bits": bits} | output)
        return
    if not Path(source).exists():
        raise UsageFault(f"there is no {source}: expected a run folder, or a file of weights")
    if bits is not None:
        raise UsageFault(
            f"--statistics-bits is for a run folder, whose search `verify` compares with, and {source} is a "
            "file; leave it out"
        )
    from recycle_pipeline.pipeline.cli.tables import show_context
    from recycle_pipeline.pipeline.pack_file import pack_file

    show_context(pack_file(_request(Path(source), given), reporter_for(quiet), force=force), as_json)


def _request(path: Path, given: dict[str, Any]) -> "FileRequest":
    from recycle_pipeline.pipeline.config import RunConfig
    from recycle_pipeline.pipeline.given import config_from
    from recycle_pipeline.pipeline.importing.request import (
        FileRequest,
        input_of,
        numbers_of,
        renames_of,
        search_of,
    )

    if given["arch"] is None:
        raise UsageFault(
            f"{path} does not say its architecture: expected --arch, one of `recycle-pipeline run --help` or "
            "your own as package.module:function"
        )
    mean, std = (None if given[name] is None else numbers_of(name, given[name]) for name in ("mean", "std"))
    taken = None
    if given["data"] is None:
        taken = input_of(path, given["classes"], given["image_size"], mean, std)
    elif given["classes"] is not None:
        raise UsageFault("--classes is for a file without --data, which says them; leave one of the two out")
    names = [
        name for name in given if name in RunConfig.__dataclass_fields__ and name not in ("prune", "scope")
    ]
    settings = {name: given[name] for name in names}
    settings["batch_norm"] = settings["batch_norm"] or "fixed"  # of a file, whatever searches do by default
    config = config_from(settings).resolve()
    return FileRequest(
        path,
        config,
        search_of(given["method"], given["keep"], given["prune"], given["scope"]),
        given["unmasked"],
        renames_of(given["rename"]),
        mean,
        std,
        taken,
    )
