"""The ONNX Runtime (ORT) providers on offer, and the reason when one of them cannot run here.

ORT lists a provider that it was built with, whether or not it can run, and replaces one that cannot by
the CPU with a line in its log (onnxruntime#17801, #23372). So a provider counts as usable only after it
has computed something: `why_not` runs a one-pixel convolution under it.
"""

import contextlib
import ctypes
import io
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

from recycle_pipeline.evaluators.custom_operators import needs_kernels
from recycle_pipeline.evaluators.provider_names import base, offered, provider_of, worth_a_look
from recycle_pipeline.models.kernel_library import library_path

# ORT's own exceptions derive from Exception, one by one; a provider's constructor raises RuntimeError.
ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)

# A model in IR 8, opset 17: y = Conv(x, x), every shape (1, 1, 1, 1) fp32. A convolution, because cuDNN is
# loaded by the first one and no sooner. As bytes, because `onnx` stays out of this package.
PROBE = bytes.fromhex(
    "08083a4e0a0f0a01780a01781201792204436f6e761201705a1b0a017812160a14080112100a0208"
    "010a0208010a0208010a020801621b0a017912160a14080112100a0208010a0208010a0208010a02"
    "080142040a001011"
)

ORT_DEFAULT_SEVERITY, FATAL = 2, 4  # 2: warnings and above
_severity = ORT_DEFAULT_SEVERITY  # of ORT's default logger, outside `_quiet`


@cache
def why_not(name: str) -> str | None:
    """The reason why a provider cannot run here, named as in `provider_names`; None if it can.

    Asked once per process and name. Raises UsageFault for a name that ORT does not know.
    """
    if provider_of(name).ort_name not in ort.get_available_providers():
        return f"this build of ONNX Runtime {ort.__version__} offers {', '.join(offered())} only"
    try:
        session = new_session(PROBE, name, threads=1)
        session.run(None, {"x": np.ones((1, 1, 1, 1), np.float32)})
    except ORT_ERRORS as error:
        return _missing_library(base(name)) or brief(error)
    return None


def usable(*, but: str = "") -> list[str]:
    """Short names of the providers that compute here, without one."""
    return [name for name in worth_a_look() if name != but and why_not(name) is None]


def new_session(
    source: str | bytes,
    name: str,
    threads: int,
    *,
    strict: bool = True,
    entries: Mapping[str, str] | None = None,
) -> Any:
    """Create ORT's session of a model under one provider, without a line on stdout or stderr.

    After one under CUDA, ORT's default logger stays silent in this process.

    Args:
        source: path or content of the model.
        name: of the provider, as in `provider_names`.
        threads: threads within one operator.
        strict: refuse graphs of which any node would run on the CPU instead of the provider. ORT puts
            shape arithmetic there on purpose, so a refusal may be no fault; see `session.open_session`.
        entries: more of the session's configuration.

    Raises:
        ORT_ERRORS: as ORT raises them.
        PackageMissing: the model needs the compiled kernels, and they are not there.
    """
    provider = provider_of(name)
    options = ort.SessionOptions()
    options.log_severity_level = FATAL  # every error comes back as an exception, whose text we pass on
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    for key, value in (_config(name, strict) | dict(entries or {})).items():
        options.add_session_config_entry(key, value)
    if needs_kernels(source):
        options.register_custom_ops_library(str(library_path()))
    with _quiet():
        _preload(name)
        chosen = [(provider.ort_name, dict(provider.options))]
        # enable_fallback=0: ORT would retry on the CPU, at creation and in any later run.
        session = ort.InferenceSession(source, options, providers=chosen, enable_fallback=0)
    if base(name) == "cuda":
        _keep_quiet()
    return session


def brief(error: Exception) -> str:
    """What an ORT error says, without its number, its C++ signatures and its line breaks."""
    text = " ".join(str(error).split())
    if cuda := re.search(r"CUDA failure [^;]*", text):
        return cuda.group().strip()
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : |/onnxruntime(?:_src)?/\S+ .*?\) ", "", text).rstrip(
        ". "
    )
    return text if len(text) <= 300 else text[:300] + " ..."


def _config(name: str, strict: bool) -> dict[str, str]:
    """Entries of the session's configuration."""
    # Idle threads of one session spin and take the cores from the next: two sessions of 2 threads, timed
    # in turns on 2 cores (EPYC, ORT 1.31.1, n = 350), took 1.69 ms each with an IQR of 50-218 %, and with
    # this entry 0.91 ms and 6 %; one session alone took 0.87 ms without it.
    always = {"session.force_spinning_stop": "1", "session.record_ep_graph_assignment_info": "1"}
    return always | ({"session.disable_cpu_ep_fallback": "1"} if strict and base(name) != "cpu" else {})


def _preload(name: str) -> None:
    """Load the CUDA libraries that pip installed; ORT does not look there by itself."""
    if base(name) in ("cuda", "tensorrt") and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()


def _missing_library(name: str) -> str | None:
    """What the dynamic linker says about a provider's library if one of its needs is not installed."""
    for library in Path(ort.__file__).parent.glob(f"capi/libonnxruntime_providers_{name}.so"):
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            if "cannot open shared object file" in str(error):
                driver = " (it comes with the NVIDIA driver)" if "libcuda.so" in str(error) else ""
                return f"{error}{driver}"
    return None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence ORT's default logger and what its Python side prints: our own messages say it.

    ORT has no getter for the level, so its default is what is restored.
    """
    ort.set_default_logger_severity(FATAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        ort.set_default_logger_severity(_severity)


def _keep_quiet() -> None:
    """Silence ORT's default logger for good, since CUDA's runs speak too.

    cuDNN's frontend logs as an error each graph that it has no plan for, and ORT then takes another way.
    """
    global _severity
    _severity = FATAL
    ort.set_default_logger_severity(_severity)
