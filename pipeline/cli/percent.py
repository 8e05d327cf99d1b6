"""The type of options that take a share."""

from typing import TYPE_CHECKING, Any

import click

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.share import share

if TYPE_CHECKING:
    Share = click.ParamType[float]
else:  # click before 8.4 has no such types
    Share = click.ParamType


class Percent(Share):
    """See `share`."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return share(value)
        except UsageFault as error:
            self.fail(str(error), param, ctx)


PERCENT = Percent()
