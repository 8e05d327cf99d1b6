"""The grids of searches are still those whose records the documents show, though defaults have moved on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RECORDS = BENCHMARKS / "records"
OF = {  # record: its grids
    "2026-11-22-ablation": ["ablation"],
    "2026-11-22-recipe": ["recipe"],
    "2026-11-22-layers": ["layers"],
    "2026-11-28-rates": ["rates"],
    "2026-11-28-long": ["long"],
    "2026-11-28-missed": ["missed", "decay"],
    "2026-11-28-beyond": ["beyond"],
    "2026-11-28-short": ["short"],
    "2026-11-28-confound": ["confound"],
    "2026-11-28-uniform": ["uniform"],
    "2026-11-28-others": ["others"],
    "2026-11-29-reproduction": ["reproduction"],
    "2026-11-30-explained": ["explained"],
    "2026-11-30-recycling": ["recycling"],
    "2026-11-30-conv-reuse": ["conv-reuse"],
    "2026-11-30-conv-reuse-short": ["conv-reuse-short"],
    "2026-11-30-net-reuse": ["net-reuse"],
    "2026-12-01-explained-again": ["explained-again"],
    "2026-12-01-vgg-reuse-short": ["vgg-reuse-short"],
}
# Each arm of each grid with what it resolves to today.
LISTED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from grids import GRIDS
from recycle_pipeline.pipeline.given import config_from
def facts(config):
    return config.epochs, config.recycle_from
arms = {
    name: [(key, one["seed"], *facts(config_from(one).resolve())) for key, one in grid()]
    for name, grid in GRIDS.items()
}
json.dump(arms, sys.stdout)
"""


@pytest.fixture(scope="module")
def arms(import_path):
    """By grid: {(key, seed): (epochs, what recycling copies)}."""
    line = [sys.executable, "-c", LISTED, str(BENCHMARKS)]
    done = subprocess.run(line, env=import_path, capture_output=True, text=True, check=True)
    return {
        name: {(key, seed): (epochs, copied) for key, seed, epochs, copied in rows}
        for name, rows in json.loads(done.stdout).items()
    }


def rows(record):
    return [json.loads(line) for line in (RECORDS / f"{record}.jsonl").read_text().splitlines()]


def test_every_grid_has_its_record(arms):
    assert sorted(arms) == sorted(name for names in OF.values() for name in names)


@pytest.mark.parametrize("record", OF)
def test_a_search_of_a_record_would_have_as_many_epochs_today(arms, record):
    now = {arm: epochs for name in OF[record] for arm, (epochs, _) in arms[name].items()}
    for row in rows(record):
        arm = row["key"], row["options"]["seed"]
        assert now[arm] == row["epochs"], arm


@pytest.mark.parametrize("record", [record for record in OF if record != "2026-11-28-beyond"])
def test_what_copied_the_top_when_it_ran_does_so_today(arms, record):
    """Conv networks copied it by default then; `beyond` is the default, whatever that is."""
    for name in OF[record]:
        for (key, _), (_, copied) in arms[name].items():
            assert copied == ("next-lowest" if key.endswith("next-lowest") else "top"), key


def test_the_searches_of_200_epochs_are_an_arm_with_other_epochs(arms):
    """Made by `--only resnet18-0.8 --epochs 200`, as docs/results.md says."""
    for row in rows("2026-11-28-beyond-200-epochs"):
        assert (row["key"], row["options"]["seed"]) in arms["beyond"]
        assert row["options"]["epochs"] == row["epochs"] == 200
