"""Which provider of ONNX Runtime (ORT) a name means, with which options.

    cuda                                         short: ORT's name without "ExecutionProvider", in any case
    OpenVINOExecutionProvider                    ORT's own
    openvino:device_type=CPU,num_of_threads=1    either, with options as ORT's page of the provider has them

Any provider that this ORT knows may be asked for. Whether it can run here is asked later: see `providers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnxruntime as ort

from recycle_pipeline.models.errors import UsageFault

SUFFIX = "ExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """One provider: ORT's name for it, what a person does when it cannot run, its options for ORT."""

    ort_name: str
    remedy: str
    options: Mapping[str, str] = field(default_factory=dict)


# Those that every machine of ours is asked about, and of which tests know what they compute.
PROVIDERS: dict[str, Provider] = {
    "cpu": Provider("CPUExecutionProvider", "Reinstall onnxruntime-gpu; every build has the CPU provider."),
    "cuda": Provider(
        "CUDAExecutionProvider",
        "Run on a machine with an NVIDIA GPU and its driver and `pip install 'onnxruntime-gpu[cuda,cudnn]'` "
        "(with no `onnxruntime` beside it), or ask for the provider 'cpu'.",
        {"use_tf32": "0"},  # TF32 keeps 10 bits of a mantissa: parity with fp32 would fail near 1e-3
    ),
}


def provider_of(asked: str) -> Provider:
    """The provider that a name means.

    Raises:
        UsageFault: a name that this ORT does not know, or options that are not KEY=VALUE.
    """
    name, options = _parts(asked)
    known = PROVIDERS.get(name) or Provider(
        _known()[name],
        f"Install the build of ONNX Runtime that brings {_known()[name]} and what it needs, and see "
        "https://onnxruntime.ai/docs/execution-providers for its options; or ask for the provider 'cpu'.",
    )
    return Provider(known.ort_name, known.remedy, {**known.options, **options})


def canonical(asked: str, *also: str) -> str:
    """The one spelling of a name that numbers are compared under: short, options in the order of their keys.

    Raises:
        UsageFault: as `provider_of`; it lists the words `also` besides the names.
    """
    name, options = _parts(asked, *also)
    listed = ",".join(f"{key}={options[key]}" for key in sorted(options))
    return f"{name}:{listed}" if listed else name


def base(asked: str) -> str:
    """The short name alone. Raises UsageFault as `provider_of`."""
    return _parts(asked)[0]


def offered() -> list[str]:
    """Short names of the providers that this build of ORT was made with, whether or not they can run here."""
    return [short(name) for name in ort.get_available_providers()]


def worth_a_look() -> list[str]:
    """Short names of `PROVIDERS`, then of the others on offer."""
    return list(dict.fromkeys([*PROVIDERS, *offered()]))


def short(ort_name: str) -> str:
    """`cuda` of CUDAExecutionProvider."""
    return ort_name.removesuffix(SUFFIX).lower()


def _unknown(name: str, *also: str) -> UsageFault:
    there = worth_a_look()
    rest = sorted(set(_known()) - set(there))
    return UsageFault(
        f"unknown provider {name!r}; expected one of {', '.join([*also, *there])} (this ONNX Runtime "
        f"{ort.__version__} offers {', '.join(offered())}), or of those that other builds bring: "
        f"{', '.join(rest)}. Options follow the name, as in openvino:device_type=CPU,num_of_threads=1."
    )


def _parts(asked: str, *also: str) -> tuple[str, dict[str, str]]:
    given, colon, listed = asked.partition(":")
    name = short(given) if given.endswith(SUFFIX) else given.lower()
    if name not in PROVIDERS and name not in _known():
        raise _unknown(asked, *also)
    options: dict[str, str] = {}
    for pair in listed.split(",") if colon else []:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not key or not equals or key in options:
            raise UsageFault(
                f"provider {asked!r}: {pair!r} is no option; expected KEY=VALUE,KEY=VALUE with each key once."
            )
        options[key] = value
    return name, options


def _known() -> dict[str, str]:
    """ORT's names of all providers that this version was written with, by their short ones."""
    return {short(name): name for name in ort.get_all_providers()}
