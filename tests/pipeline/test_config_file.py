"""TOML in and out: what a file may hold, and that every setting survives the way there and back."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.models.draws import INITS
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.models.options import ACTIVATIONS, BATCH_NORMS
from recycle_pipeline.pipeline import config as settings
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.config_file import as_toml, read_config_file, read_run_config, write_config
from recycle_pipeline.pipeline.given import config_from

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
FRACTION = st.floats(0, 1, exclude_min=True, exclude_max=True)
AMOUNT = st.floats(0, 1e30)
COUNT = st.integers(2, 10**9)


def counts(low, high):
    """Of one setting: different whole numbers, at least one."""
    return st.lists(st.integers(low, high), min_size=1, max_size=4, unique=True).map(tuple)


FIELDS = {
    "arch": TEXT,
    "width": st.floats(0, 64, exclude_min=True),
    "activations": st.sampled_from(ACTIVATIONS),
    "batch_norm": st.none() | st.sampled_from(BATCH_NORMS),
    "prune": FRACTION,
    "subnetwork": st.sampled_from(settings.SUBNETWORKS),
    "init": st.sampled_from((None, *INITS)),
    "scale_fan": st.sampled_from(settings.SCALE_FANS),
    "reuse": st.sampled_from(settings.REUSES),
    "reuse_rate": st.none() | st.floats(0, 0.5, exclude_min=True),
    "reuse_period": st.none() | COUNT,
    "reuse_period_steps": st.none() | COUNT,
    "recycle_from": st.none() | st.sampled_from(settings.RECYCLE_FROM),
    "scope": st.sampled_from(settings.SCOPES),
    "allocation": st.none() | st.sampled_from(settings.ALLOCATIONS),
    "scores": st.none() | st.sampled_from(settings.SCORE_RULES),
    "rounding": st.sampled_from(settings.ROUNDINGS),
    "layer_minimum": st.none() | st.floats(0, 0.5),
    "data": TEXT,
    "data_root": st.none() | TEXT,
    "download": st.booleans(),
    "image_size": st.none() | COUNT,
    "skip_unreadable": st.booleans(),
    "hold_out": st.just(0) | COUNT,
    "cutout": st.none() | st.just(0) | COUNT,
    "epochs": st.none() | COUNT,
    "batch_size": st.none() | COUNT,
    "learning_rate": st.none() | st.floats(0, 1e6, exclude_min=True),
    "learning_rate_after": st.none() | st.just("1:0.5"),
    "optimizer": st.sampled_from(settings.OPTIMIZERS),
    "schedule": st.sampled_from(settings.SCHEDULES),
    "momentum": st.floats(0, 1, exclude_max=True),
    "weight_decay": st.none() | st.floats(0, 1e6),
    "warmup": st.none() | AMOUNT,
    "label_smoothing": st.none() | st.floats(0, 1, exclude_max=True),
    "seed": st.integers(0, 2**63 - 1),
    "device": st.sampled_from(("auto", "cpu", "cuda", "cuda:3")),
    "precision": st.sampled_from(settings.PRECISIONS),
    "processes": st.none() | COUNT,
    "tensorboard": st.booleans(),
    "statistics_bits": st.integers(1, 23),
    "export": st.just(("onnx",)),
    "embed_preprocessing": st.booleans(),
    "shrink": st.booleans(),
    "ort_target": st.none() | st.sampled_from(("1.26", "1.31")),
    "provider": st.sampled_from(settings.PROVIDERS),
    "max_difference": AMOUNT,
    "min_agreement": st.none() | st.floats(0, 1),
    "max_accuracy_drop": st.none() | st.floats(0, 1),
    "min_top1": st.none() | st.floats(0, 1),
    "max_slowdown": st.none() | AMOUNT,
    "timed_batch": counts(1, 4096),
    "timed_threads": counts(0, 1024),
    "output_dir": st.none() | TEXT,
    "preset": st.none(),
}


def agreeing(values):
    """Takes back what is refused: what another setting leaves without effect, and a warm-up to the end."""
    if (values["warmup"] or 0) >= (values["epochs"] or 12):
        values["warmup"] = 0.0
    if values["epochs"] == 1:
        values["learning_rate_after"] = None
    if values["reuse_period_steps"] is not None:
        values["reuse_period"] = None
    if values["scope"] == "layer":
        values["layer_minimum"] = None
    else:
        values["allocation"] = "uniform"
    if values["optimizer"] == "adam":
        values["weight_decay"] = None
    return RunConfig(**values)


CONFIGS = st.fixed_dictionaries(FIELDS).map(agreeing)


def test_the_round_trip_below_knows_every_setting():
    assert list(FIELDS) == list(RunConfig.__dataclass_fields__)


@given(CONFIGS)
def test_every_setting_survives_toml_and_back(config):
    assert config_from(tomllib.loads(as_toml(config))) == config


@given(CONFIGS)
def test_every_resolved_setting_survives_toml_and_back(config):
    resolved = config.resolve()
    assert config_from(tomllib.loads(as_toml(resolved))) == resolved


def test_a_run_folders_config_reads_back_and_says_what_it_is(tmp_path):
    path = tmp_path / "new" / "config.toml"
    write_config(RunConfig(seed=7).resolve(), path)
    assert path.read_text().startswith("# Resolved settings of this run; see manifest.json")
    assert config_from(read_run_config(path)) == RunConfig(seed=7).resolve()


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "settings.toml"
        path.write_bytes(content)
        return path

    return write


def test_a_users_file_gives_names_and_values(file):
    assert read_config_file(file(b'batch-size = 8\nexport = "onnx"\n')) == {"batch-size": 8, "export": "onnx"}


@pytest.mark.parametrize("content", [b"prune 0.9", b"prune = 0.9\nprune = 0.8", b'arch = "\xff"'])
def test_what_is_not_toml_is_refused(file, content):
    with pytest.raises(UsageFault, match=r"^--config .*settings\.toml is not valid TOML: "):
        read_config_file(file(content))


def test_a_table_is_refused_by_name(file):
    message = r"settings\.toml has a table \[search\]; expected plain `name = value` lines$"
    with pytest.raises(UsageFault, match=message):
        read_config_file(file(b"seed = 1\n[search]\nepochs = 3\n"))


@pytest.mark.parametrize(("name", "reason"), [("none.toml", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path, name, reason):
    with pytest.raises(UsageFault, match=rf"^cannot read --config {tmp_path / name}: {reason}"):
        read_config_file(tmp_path / name)


def test_custom_code_named_in_a_file_is_refused_and_not_imported(file):
    with pytest.raises(UsageFault, match=r"nothing named in a file is imported; .*--arch evil.module:net"):
        read_config_file(file(b'arch = "evil.module:net"\n'))


@pytest.mark.parametrize("content", [b"arch = ", b'arch = "\xff"\n', b"\0"])
def test_a_damaged_run_config_is_a_corrupt_artefact(file, content):
    with pytest.raises(CorruptArtefact, match=r"settings\.toml is damaged: "):
        read_run_config(file(content))
