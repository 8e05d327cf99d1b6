"""How `gate` and `bench` time models: options that both have."""

from typing import Any

import click

from recycle_pipeline.pipeline.cli.options import PROVIDER
from recycle_pipeline.pipeline.cli.sections import section


def _named(ctx: click.Context, param: click.Parameter, value: Any) -> str:
    """A provider's name in its one spelling; ONNX Runtime is loaded for others than cpu and cuda alone."""
    if value in ("cpu", "cuda"):
        return str(value)
    from recycle_pipeline.evaluators.provider_names import canonical

    return canonical(str(value))


HOW = section(
    "Timing",
    click.option(
        "--provider",
        metavar=PROVIDER,
        default="cpu",
        callback=_named,
        help="cpu, cuda, or any that ONNX Runtime knows, such as openvino:device_type=CPU. [cpu]",
    ),
    click.option(
        "--transfers",
        type=click.Choice(["included", "excluded"]),
        default="included",
        help="Whether copies to the device and back are timed; excluded binds them once. [included]",
    ),
    click.option(
        "--isolation",
        type=click.Choice(["block", "session"]),
        default="block",
        help="A fresh process for each block of sessions, or for each session. [block]",
    ),
    click.option("--core", type=int, help="Bind all timing to this core. [any]"),
    click.option("--seed", type=int, default=0, help="Of the random orders. [0]"),
)
