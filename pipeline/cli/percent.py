"""A share as people write it: 5% or 0.05."""

from typing import Any

import click


class Percent(click.ParamType[float]):
    """A fraction, given as `5%` or `0.05`. A bare 5 is refused: it is seldom meant as 500 %."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            self.fail(f"{value!r} is no share; expected such as 5% or 0.05", param, ctx)
        if text.endswith("%"):
            return number / 100
        if abs(number) >= 1:
            self.fail(f"{value} is {number:.0%}; did you mean {number:g}% or {number / 100:g}?", param, ctx)
        return number


PERCENT = Percent()
