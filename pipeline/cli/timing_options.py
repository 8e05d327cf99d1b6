"""How `gate` and `bench` time models: options that both have."""

import click

from recycle_pipeline.pipeline.cli.options import section

HOW = section(
    "Timing",
    click.option("--provider", type=click.Choice(["cpu", "cuda"]), default="cpu", help="[cpu]"),
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
