"""Rows of a bench as plain types for JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from recycle_pipeline.evaluators.bench import Row
from recycle_pipeline.evaluators.conditions import conditions
from recycle_pipeline.evaluators.files import described
from recycle_pipeline.evaluators.machine import describe
from recycle_pipeline.evaluators.setting import TRANSFERS

SCHEMA = 1


def bench_json(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Plain dicts, lists, strings and finite numbers; units are in the names. All raw samples are kept.

    A reader must refuse a `schema` that it does not know and may ignore keys that it does not know.
    """
    models = {row.model: described(row.model) for row in rows}
    return {
        "schema": SCHEMA,
        "kind": "bench",
        "seed": seed,
        "models": list(models.values()),
        "rows": [_row(row) for row in rows],
        "machine": asdict(describe()),
        "conditions": asdict(conditions()),
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "model": str(row.model),
        **asdict(row.setting),
        "times": TRANSFERS[row.setting.transfers],
        "median_ms": asdict(row.median_ms),
        "p90_ms": row.samples.p90,
        "p95_ms": row.samples.p95,
        "p99_ms": row.samples.p99,
        "n": row.samples.n,
        "images_per_s": asdict(row.throughput),
        "ratio_to_first": asdict(row.ratio) if row.ratio else None,
        "speed": row.speed,
        "load_s": asdict(row.load_s),
        "memory_bytes": row.memory,
        "settled": row.settled,
        "block_medians_ms": list(row.blocks),
        "samples_ms": list(row.samples.ms),
    }
