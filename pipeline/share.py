"""A share as people write it: 5% or 0.05."""

from recycle_pipeline.models.errors import UsageFault


def share(value: str | float) -> float:
    """A fraction, from `5%`, `0.05` or a number. A bare 5 is refused: it is seldom meant as 500 %.

    Raises:
        UsageFault: no number, or a number of 1 or more without a percent sign.
    """
    text = str(value).strip()
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise UsageFault(f"{value!r} is no share; expected such as 5% or 0.05.") from None
    if text.endswith("%"):
        return number / 100
    if abs(number) >= 1:
        raise UsageFault(f"{text} is {number:.0%}; did you mean {number:g}% or {number / 100:g}?")
    return number
