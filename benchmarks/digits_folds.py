#!/usr/bin/env python3
"""Errors on four folds of the digits' train split: by what settings of the default command are chosen.

    python benchmarks/digits_folds.py sgd-16:optimizer=sgd,epochs=16 default: --record RECORD

An arm is NAME:setting=value,...; settings not named are the defaults. Each arm is searched on three quarters
of the train split and measured on the fourth, for every fold and seed, with a third more epochs, so that the
steps are those of the whole split. The test split is not touched. Printed: the share of held-out images that
the last epoch has wrong, the mean of the last three, and the standard error over runs of the former.
"""

import argparse
import dataclasses
import json
import math
import statistics
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.record import write_record

from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.given import config_from
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.search.records import EpochRecord
from recycle_pipeline.pipeline.stages.search import settings_of

FOLDS = 4


def settings_in(arm: str) -> tuple[str, dict[str, Any]]:
    """Name and settings of NAME:setting=value,...; what is no TOML value is a text."""
    name, _, listed = arm.partition(":")
    given: dict[str, Any] = {}
    for item in filter(None, listed.split(",")):
        key, _, value = item.partition("=")
        try:
            given |= tomllib.loads(f"{key} = {value}")
        except tomllib.TOMLDecodeError:
            given[key] = value
    return name, given


def fold_of(images: ImageSet, fold: int) -> ImageSet:
    """The train split without every fourth image of each class, which are in the place of the test split."""
    labels = images.train_labels
    turn = np.zeros(len(labels), int)
    for number in range(len(images.classes)):
        places = np.flatnonzero(labels == number)
        turn[places] = np.arange(len(places)) % FOLDS
    kept, out = turn != fold, turn == fold
    return dataclasses.replace(
        images,
        train_images=images.train_images[kept],
        train_labels=labels[kept],
        test_images=images.train_images[out],
        test_labels=labels[out],
    )


def one_search(images: ImageSet, given: dict[str, Any], fold: int, seed: int) -> dict[str, Any]:
    config = config_from({**given, "seed": seed}).resolve()
    epochs = round(config.epochs * FOLDS / (FOLDS - 1))  # type: ignore[operator]
    config = dataclasses.replace(config, epochs=epochs, reuse_period=max(2, math.ceil(epochs / 10)))
    part, records, started = fold_of(images, fold), list[EpochRecord](), time.perf_counter()
    network = build(
        config.arch,
        classes=len(images.classes),
        channels=images.channels,
        image_size=images.image_size,
        options=config.options,
    )
    search(network, part, settings_of(config), torch.device("cpu"), Listeners(records.append))
    held_out = len(part.test_labels)
    errors = [round((1 - record.accuracy) * held_out) for record in records[-3:]]
    row = {"fold": fold, "seed": seed, "errors_of_the_last_three_epochs": errors, "held_out": held_out}
    return row | {"seconds": round(time.perf_counter() - started, 1)}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    held_out = sum(row["held_out"] for row in rows)
    last = [row["errors_of_the_last_three_epochs"][-1] for row in rows]
    tail = [statistics.mean(row["errors_of_the_last_three_epochs"]) for row in rows]
    shares = [wrong / row["held_out"] for wrong, row in zip(last, rows, strict=True)]
    found = {"n": len(rows), "last_error": sum(last) / held_out, "last_three": sum(tail) / held_out}
    error = statistics.stdev(shares) / math.sqrt(len(rows)) if len(rows) > 1 else None
    return found | {"standard_error": error}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("arms", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    images = load("digits")
    rows: list[dict[str, Any]] = []
    arms = [settings_in(arm) for arm in args.arms]
    for seed in args.seeds:
        for fold in args.folds:
            for name, given in arms:  # in turn, so that what else the machine does falls on all
                rows.append({"arm": name, **one_search(images, given, fold, seed)})
                print(json.dumps(rows[-1]), flush=True)
    found = {name: summary([row for row in rows if row["arm"] == name]) for name, _ in arms}
    print(json.dumps(found, indent=1))
    write_record(args.record, __doc__.splitlines()[0], summary=found, rows=rows)


if __name__ == "__main__":
    main()
