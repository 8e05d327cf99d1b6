"""Memory that ran out: how it is told apart from other errors, and what can be done."""

import sys

from recycle_pipeline.models.errors import RecycleError

# Of a host's memory torch and ONNX Runtime speak in a RuntimeError.
WORDS = ("can't allocate memory", "not enough memory", "Failed to allocate memory", "std::bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that a device's or the host's memory ran out. Imports nothing."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in WORDS)


def in_a_search(
    error: BaseException, device: object, batch_size: int, kept: str, fits: int | None = None
) -> RecycleError:
    """The error of a search that ran out of memory.

    The batch is not made smaller by itself: with fixed batch norm statistics are of a batch, so that what
    comes out of a smaller one is another search, which the user should ask for.

    Args:
        error: as it was raised.
        device: of the search.
        batch_size: images a step.
        kept: what to say of the state before, if it is kept.
        fits: a batch that was tried and fits, if one was found.
    """
    if fits:
        advice = [f"--batch-size {fits}, which was tried and fits"]
    else:
        advice = [f"--batch-size {batch_size // 2}"] if batch_size >= 4 else []
    advice += ["a smaller --width or --image-size"]
    where = f"the memory of {device} does not suffice for steps of {batch_size} images"
    return RecycleError(f"{where} ({first_line(error)}); try {', or '.join(advice)}{kept}")


def elsewhere(error: BaseException) -> str:
    """The message for any other command."""
    return (
        f"memory ran out ({first_line(error)}); end other programs, or give smaller models, images or "
        "batches. Finished stages are kept."
    )


def first_line(error: BaseException) -> str:
    """What it says first, or its kind."""
    text = str(error).strip().partition("\n")[0].partition(". ")[0]
    return text or type(error).__name__
