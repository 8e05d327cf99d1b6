"""What a run was made with: versions, hardware, times, files."""

from collections.abc import Mapping
from typing import Any

from recycle_pipeline.pipeline.manifest import Manifest
from recycle_pipeline.pipeline.report.facts import Environment, File, StageTime

NAMES = {
    "recycle-pipeline": "recycle-pipeline",
    "python": "Python",
    "platform": "platform",
    "cpu": "CPU",
    "cores": "cores",
    "torch_threads": "threads of torch",
    "gpus": "GPU",
}


def environments_of(manifest: Manifest) -> tuple[Environment, ...]:
    """Those of the stages; stages that ran with the same are named together."""
    found: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for stage, entry in manifest.stages.items():
        found.setdefault(repr(sorted(entry.environment.items(), key=str)), ([], entry.environment))[0].append(
            stage
        )
    return tuple(
        Environment(tuple(stages), _values(environment), _packages(environment))
        for stages, environment in found.values()
    )


def _values(environment: Mapping[str, Any]) -> dict[str, str]:
    texts = {NAMES[key]: _text(environment[key]) for key in NAMES if key in environment}
    return {name: text for name, text in texts.items() if text}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _packages(environment: Mapping[str, Any]) -> dict[str, str]:
    packages = environment.get("packages")
    return {str(k): str(v) for k, v in packages.items()} if isinstance(packages, dict) else {}


def times_of(manifest: Manifest) -> tuple[StageTime, ...]:
    """Start and length of each stage."""
    return tuple(
        StageTime(stage, entry.started, float(entry.seconds)) for stage, entry in manifest.stages.items()
    )


def files_of(manifest: Manifest) -> tuple[File, ...]:
    """What the stages wrote, with digests."""
    return tuple(
        File(name, digest) for entry in manifest.stages.values() for name, digest in entry.outputs.items()
    )
