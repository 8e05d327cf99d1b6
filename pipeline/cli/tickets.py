"""`reconstruct` and `inspect`: what a ticket holds."""

import json
from pathlib import Path

import click

from recycle_pipeline.pipeline.cli.tables import path_size

TICKET = click.argument("ticket", type=click.Path())


@click.command(short_help="Rebuild a ticket's tensors from its seed, compare digests.")
@TICKET
@click.option(
    "--output",
    type=click.Path(),
    help="Write the network here: weights as .safetensors, a state dict of torch as .pt, or the folded "
    "dense-equivalent model as .onnx.",
)
@click.option("--arch", help="Repeat a custom package.module:function to allow its import, for .onnx alone.")
def reconstruct(ticket: str, output: str | None, arch: str | None) -> None:
    """Rebuild every tensor of TICKET from its seed and compare digests.

    TICKET is a file, a run folder, or hf://owner/name[@revision][/file] on the Hugging Face Hub.

    \b
    Examples:
      recycle-pipeline reconstruct runs/mine
      recycle-pipeline reconstruct ticket.safetensors --output weights.safetensors
      recycle-pipeline reconstruct ticket.safetensors --output weights.pt
      recycle-pipeline reconstruct ticket.safetensors --output model.onnx
      recycle-pipeline reconstruct hf://owner/name --output weights.safetensors

    \b
    In Python, as a network ready for inference:
      from recycle_pipeline.pipeline import reconstruct
      network = reconstruct("ticket.safetensors")
    """
    from recycle_pipeline.pipeline.hub import local_ticket
    from recycle_pipeline.pipeline.reconstruction import check_output, rebuilt_and_written
    from recycle_pipeline.pipeline.run_folder import ticket_path

    target = None if output is None else Path(output)
    check_output(ticket_path(Path(ticket)), target, arch)
    path = local_ticket(ticket)
    done = rebuilt_and_written(path, target, arch)
    click.echo(f"{path}: {done.tensors} tensors rebuilt from seed {done.seed}, all equal to their digests")
    if done.note:
        click.echo(f"note: batch norm stays unfolded: {done.note}", err=True)
    if target is not None:
        click.echo(f"{target}: {path_size(target)}")


@click.command(short_help="Show what a ticket holds, layer by layer.")
@TICKET
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout, with gains and counts in full.")
@click.option(
    "--picture", type=click.Path(), metavar="FILE.png", help="Draw the density of each layer and filter."
)
def inspect(ticket: str, as_json: bool, picture: str | None) -> None:
    """Show what TICKET (a file, a run folder, or hf://owner/name) holds, layer by layer.

    \b
    Examples:
      recycle-pipeline inspect runs/mine
      recycle-pipeline inspect runs/mine --picture density.png

    \b
    moved  kept weights whose value (sign, if binary) is not the seed's: reused
    bytes  of the layer's coded streams in the file
    bound  bytes of its bits, mask and signs moved, if they were independent
    share  bytes, of the whole file
    """
    from recycle_pipeline.exporters.ticket.reader import load_ticket
    from recycle_pipeline.pipeline.checks import check_output_file
    from recycle_pipeline.pipeline.cli.contents import facts_of, print_facts
    from recycle_pipeline.pipeline.hub import local_ticket

    if picture is not None:
        check_output_file("picture", Path(picture), (".png",))
    path = local_ticket(ticket)
    subnetwork = load_ticket(path)
    facts = facts_of(path, subnetwork)
    if picture is not None:
        from recycle_pipeline.exporters.picture import write_picture

        write_picture(subnetwork, Path(picture))
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    print_facts(facts, subnetwork)
    if picture is not None:
        click.echo(f"{picture}: {path_size(Path(picture))}")
