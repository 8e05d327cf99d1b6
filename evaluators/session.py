"""Open an ONNX file under the provider that was asked for, and under no other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from recycle_pipeline.evaluators.machine import usable_cores
from recycle_pipeline.evaluators.onnx_model import OnnxModel, describe, ran_out_of_memory
from recycle_pipeline.evaluators.provider_names import base, canonical, provider_of
from recycle_pipeline.evaluators.providers import ORT_ERRORS, brief, new_session, usable, why_not
from recycle_pipeline.models.errors import CorruptArtefact, ProviderUnavailable, RecycleError, UsageFault

__all__ = ["OnnxModel", "best_provider", "open_session"]

# Integer arithmetic on shapes, which ORT keeps on the CPU beside a GPU provider because it is faster there.
SHAPE_OPS = frozenset(
    {"Add", "Cast", "Concat", "Div", "Equal", "Gather", "Mul", "Range", "Reshape", "Shape", "Size", "Slice"}
    | {"Squeeze", "Sub", "Unsqueeze", "Where"}
)
REEXPORT = "Export the model without these operators, or ask for the provider 'cpu'."


def open_session(
    path: str | Path,
    provider: str,
    threads: int | None = None,
    entries: Mapping[str, str] | None = None,
) -> OnnxModel:
    """Open a model under a provider, or raise; never under another provider than the one asked for.

    For CUDA, ORT is first told to refuse any node on the CPU (`session.disable_cpu_ep_fallback`). That also
    refuses sound graphs with a dynamic batch, because ORT puts their shape arithmetic on the CPU on purpose.
    So a refused graph is opened once more without the entry, ORT is asked where each node went, and the
    graph is accepted if only `SHAPE_OPS` stayed on the CPU. Runtimes without that answer (before 1.24) keep
    the refusal.

    Args:
        path: the ONNX file.
        provider: its name, with options where it has any; see `provider_names`.
        threads: threads within one operator; None takes the cores that this process may use.
        entries: more of ONNX Runtime's configuration of a session, by key.

    Raises:
        UsageFault: no such file or provider, fewer than one thread, or not one tensor in and one out.
        CorruptArtefact: ONNX Runtime cannot read the file.
        ProviderUnavailable: the provider cannot run here, or not all of this graph.
        PackageMissing: the model needs the compiled kernels, and they are not there.
        RecycleError: memory ran out, which is no fault of the file.
    """
    file, threads = Path(path), usable_cores() if threads is None else threads
    _require_request(file, provider, threads)
    if reason := why_not(provider):
        raise _unavailable(provider, f"it cannot run here: {reason}")
    try:
        session = _create(file, provider, threads, entries)
    except ORT_ERRORS as error:
        raise _unreadable(file, error) from error
    if session.get_providers()[0] != provider_of(provider).ort_name:
        raise _unavailable(provider, f"ONNX Runtime chose {session.get_providers()[0]} for {file}")
    try:
        return describe(file, canonical(provider), threads, session)
    except UnicodeDecodeError as error:
        raise CorruptArtefact(
            f"{file} has a name or metadata that are not UTF-8 ({error.reason}); export it again"
        ) from error


def best_provider(device: str) -> tuple[str, str | None]:
    """The provider to open models with, and why it is not a faster one.

    Args:
        device: "auto", or the name of a provider, which is returned in its one spelling: `open_session`
            refuses it if it cannot run.

    Returns:
        ("cuda", None) for "auto" where CUDA computes, else ("cpu", the reason).

    Raises:
        UsageFault: an unknown device.
    """
    if device != "auto":
        return canonical(device, "auto"), None
    reason = why_not("cuda")
    return ("cuda", None) if reason is None else ("cpu", f"CUDA cannot run here: {reason}")


def _create(file: Path, provider: str, threads: int, entries: Mapping[str, str] | None) -> Any:
    try:
        return new_session(str(file), provider, threads, entries=entries)
    except ORT_ERRORS as refusal:
        if base(provider) == "cpu":
            raise
        # Raises again if the file is bad.
        session = new_session(str(file), provider, threads, strict=False, entries=entries)
        if (strays := _on_cpu(session)) is None or not strays <= SHAPE_OPS:
            found = ", ".join(sorted(strays - SHAPE_OPS)) if strays else brief(refusal)
            raise _unavailable(
                provider, f"part of {file} would run on the CPU: {found}", REEXPORT
            ) from refusal
        return session


def _on_cpu(session: Any) -> set[str] | None:
    """Operators of the graph that ORT placed on the CPU; None if this version cannot tell."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    parts = session.get_provider_graph_assignment_info()
    return {node.op_type for part in parts if part.ep_name.startswith("CPU") for node in part.get_nodes()}


def _require_request(file: Path, provider: str, threads: int) -> None:
    canonical(provider)
    if threads < 1:
        raise UsageFault(f"threads: {threads} given, 1 or more expected. Leave it out to use every core.")
    if not file.is_file():
        raise UsageFault(f"{file} is no file. Give the path of an ONNX file, as `export` writes it.")


def _unavailable(provider: str, reason: str, remedy: str = "") -> ProviderUnavailable:
    there = ", ".join(usable(but=base(provider)))
    return ProviderUnavailable(
        f"provider {provider!r} was asked for, but {reason}. Usable here: {there or 'none'}. "
        f"{remedy or provider_of(provider).remedy}"
    )


def _unreadable(file: Path, error: Exception) -> RecycleError:
    """CorruptArtefact, or another where the file is sound: newer than the runtime, or memory ran out."""
    text = brief(error).replace(str(file), "it")  # a path may hold the words looked for
    if ran_out_of_memory(text):
        return RecycleError(
            f"memory ran out while ONNX Runtime opened {file}: {text}. End other programs, or use a "
            "smaller model."
        )
    if "IR version" in text or "opset" in text or type(error).__name__ == "NotImplemented":
        return UsageFault(
            f"ONNX Runtime {ort.__version__} is too old for {file}: {text}. "
            "Install a newer onnxruntime-gpu, or export with an older opset and IR version."
        )
    return CorruptArtefact(
        f"ONNX Runtime {ort.__version__} cannot read {file}: {text}. Export it again; "
        "if it was copied or downloaded, compare its size with the original."
    )
