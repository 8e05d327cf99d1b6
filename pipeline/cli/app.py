"""The command group, and how errors leave the program."""

import sys
import traceback
from typing import Any

import click

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.pipeline.cli.bench import bench
from recycle_pipeline.pipeline.cli.compare import compare
from recycle_pipeline.pipeline.cli.doctor import doctor
from recycle_pipeline.pipeline.cli.gate import gate
from recycle_pipeline.pipeline.cli.pack import pack
from recycle_pipeline.pipeline.cli.presets import presets
from recycle_pipeline.pipeline.cli.report import report
from recycle_pipeline.pipeline.cli.run import run, search
from recycle_pipeline.pipeline.cli.schema import schema
from recycle_pipeline.pipeline.cli.stages import export
from recycle_pipeline.pipeline.cli.tickets import inspect, reconstruct
from recycle_pipeline.pipeline.cli.verify import verify
from recycle_pipeline.pipeline.ending import INTERRUPTED, Ending
from recycle_pipeline.pipeline.out_of_memory import elsewhere, is_out_of_memory
from recycle_pipeline.pipeline.processes import leave, several, speaks
from recycle_pipeline.pipeline.version import VERSION

EPILOG = """\b
Exit codes:
  0 ok             3 parity        6 corrupt file          130 interrupted
  1 failure        4 accuracy      7 inconclusive timing   143 terminated
  2 usage          5 latency       8 provider or package unavailable
"""


class InOrder(click.Group):
    """Lists commands in the order a person meets them, not by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=InOrder,
    epilog=EPILOG,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)
@click.version_option(VERSION, prog_name="recycle-pipeline")
def cli() -> None:
    """Find a sparse subnetwork in an untrained network, store it as seed plus mask, export it to ONNX
    and verify it under ONNX Runtime.

    \b
    The whole job on the embedded data, no download, no GPU needed:
      recycle-pipeline run --arch resnet18 --prune 0.9 --export onnx
    """


for _command in (run, search, pack, reconstruct, export):
    cli.add_command(_command)
for _command in (verify, bench, gate, report, inspect, compare, presets, schema, doctor):
    cli.add_command(_command)


def main(arguments: list[str] | None = None, ending: Ending | None = None) -> Any:
    """Runs the command and exits: messages for people on stderr, no traceback for what they can mend.

    Args:
        arguments: of the command line; None takes the process's.
        ending: hears of signals.
    """
    try:
        cli.main(args=arguments, prog_name="recycle-pipeline", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        if speaks():
            error.show()
        leave(error.exit_code)
    except RecycleError as error:
        _complain(f"Error: {error}")
        leave(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _complain(INTERRUPTED)
        leave(ending.code if ending else 130)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _complain(f"Error: {error.strerror or error}{where}. Check the path, permissions and free space.")
        leave(1)
    except Exception as error:
        if is_out_of_memory(error):
            _complain(f"Error: {elsewhere(error)}")
            leave(1)
        if not several():
            raise
        traceback.print_exc()  # from every process that has one: it says where to look
        leave(1)
    leave(0)


def _complain(message: str) -> None:
    if speaks():
        click.echo(message, err=True)
