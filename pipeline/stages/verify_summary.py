"""What people ask for first of a verify.json."""

import json
from pathlib import Path
from typing import Any


def summary(report: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a verify.json that people ask for first."""
    latency = report["latency"]
    found: dict[str, Any] = {
        "provider": report["provider"],
        "provider_note": report["provider_note"],
        "n": report["n"],
        "torch_accuracy": report["accuracy"]["reference"]["top1"],
        "ort_accuracy": report["accuracy"]["model"]["top1"],
        "max_difference": report["parity"]["max_difference"],
        "agreement": report["parity"].get("agreement", float(report["parity"]["passed"])),
        "top1_agreement": report["parity"]["top1_agreement"],
        **_times("latency", latency["model"]),
        **_times("dense_twin", latency["baseline"]),
        "latency_ratio": latency["ratio"],
        "latency_n": latency["model"]["n"],
        "batch": latency["batch"],
        "threads": latency["threads"],
        "forms": {name: _short(found) for name, found in report.get("forms", {}).items()},
    }
    some = {key: report[key] for key in ("statistics", "further_latencies", "unmeasured") if key in report}
    return found | some | _same_shapes(latency)


def _short(form: dict[str, Any]) -> dict[str, Any]:
    """What was found of a form, without every sample and every class."""
    return {key: value for key, value in form.items() if key not in ("latency", "per_class")}


def _times(name: str, samples: dict[str, Any]) -> dict[str, float]:
    """The median and its interval over sessions, which files of earlier versions do not have."""
    ends = {end: samples.get(f"median_{end}_ms") for end in ("low", "high")}
    return {f"{name}_ms": samples["median_ms"]} | {
        f"{name}_{end}_ms": ms for end, ms in ends.items() if ms is not None
    }


def _same_shapes(latency: dict[str, Any]) -> dict[str, Any]:
    """Of a shrunk model, beside the dense network that it stands for: its own shapes with nothing pruned."""
    if not latency.get("same_shapes"):
        return {}
    ratio = latency["same_shapes_ratio"]
    return {
        "same_shapes_ms": latency["same_shapes"]["median_ms"],
        "same_shapes_ratio": ratio["ratio"],
        "same_shapes_low": ratio["low"],
        "same_shapes_high": ratio["high"],
    }


def read_summary(path: Path) -> dict[str, Any]:
    """The `summary` of a verify.json; empty where it is damaged, for `verify` then makes it again."""
    try:
        found = summary(json.loads(path.read_text("utf-8")))
        flat = found | {name: found["latency_ratio"][name] for name in ("ratio", "low", "high")}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    kinds: dict[str, Any] = {"provider": str, "provider_note": str, "latency_ratio": dict, "forms": dict}
    kinds |= {"statistics": dict, "further_latencies": list, "unmeasured": dict}
    return found if all(isinstance(v, kinds.get(k, int | float)) for k, v in flat.items()) else {}
