"""Verification end to end on real ONNX models, and the report that it leaves."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto

from recycle_pipeline.evaluators.gates import raise_for
from recycle_pipeline.evaluators.machine import cpu_model, describe, gpu_models, usable_cores
from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.evaluators.verify import LatencySettings, Limits, verify
from recycle_pipeline.models.errors import AccuracyFailure, ParityFailure, UsageFault

QUICK = LatencySettings(seconds=0, min_rounds=12)


@pytest.fixture
def reference(weights):
    return lambda images: images.reshape(len(images), -1).astype(np.float32) @ weights


@pytest.fixture
def labels(reference, images):
    """Classes of the reference, one of 20 wrong: its accuracy is 0.95."""
    labels = reference(images).argmax(axis=1)
    labels[0] = (labels[0] + 1) % 10
    return labels


@pytest.fixture
def model(write_linear, weights):
    return open_session(write_linear(weights, metadata={"arch": "linear"}), "cpu", threads=1)


def test_a_faithful_export_passes(model, reference, images, labels):
    report = verify(model, reference, images, labels, batch_size=8)
    assert report.passed and report.n == report.parity.n == report.accuracy.n == 20
    assert report.accuracy == report.reference_accuracy
    assert report.accuracy.correct == 19
    assert report.parity.max_difference < 1e-4
    assert report.latency is None
    assert [(v.name, v.outcome) for v in report.verdicts] == [
        ("max_difference", "passed"),
        ("max_accuracy_drop", "not-asked"),
        ("min_top1", "not-asked"),
        ("max_slowdown", "not-asked"),
    ]
    raise_for(report.verdicts)


def test_logits_and_a_predict_callable_are_the_same_reference(model, reference, images, labels):
    by_callable = verify(model, reference, images, labels, batch_size=20)
    by_logits = verify(model, reference(images), images, labels, batch_size=20)
    assert by_callable == by_logits


def test_one_wrong_image_fails_parity_over_the_whole_split(model, reference, images, labels):
    expected = reference(images)
    expected[17, 3] += 0.5
    report = verify(model, expected, images, labels, batch_size=8)
    assert not report.passed and not report.parity.passed
    with pytest.raises(ParityFailure, match="max_difference failed"):
        raise_for(report.verdicts)


def test_where_a_share_of_the_images_is_asked_for_one_may_be_wrong(model, reference, images, labels):
    expected = reference(images)
    expected[17, 3] += 0.5
    for share, passed in ((0.95, True), (0.96, False)):
        limits = Limits(min_agreement=share)
        report = verify(model, expected, images, labels, batch_size=8, limits=limits)
        assert (report.passed, report.parity.passed, report.parity.agreement) == (passed, passed, 0.95)
        assert report.verdicts[0].name == "min_agreement"
    with pytest.raises(ParityFailure, match=r"min_agreement failed: 95\.000% of the images"):
        raise_for(report.verdicts)


def test_another_model_misses_the_accuracy_gates(write_linear, weights, reference, images, labels):
    other = open_session(write_linear(weights[:, ::-1]), "cpu", threads=1)
    limits = Limits(max_difference=1e9, max_accuracy_drop=0.1, min_top1=0.9)
    report = verify(other, reference, images, labels, batch_size=20, limits=limits)
    with pytest.raises(AccuracyFailure, match=r"max_accuracy_drop failed(.|\n)*min_top1 failed"):
        raise_for(report.verdicts)


def test_a_drop_of_exactly_the_limit_passes(write_linear, images):
    """11/20 - 10/20 is above 0.05 in floating point; (11 - 10) / 20 is not."""
    assert 11 / 20 - 10 / 20 > 0.05
    always_0 = open_session(write_linear(np.zeros((48, 10))), "cpu", threads=1)
    labels = np.repeat([0, 1], 10)
    expected = np.eye(10, dtype=np.float32)[[0] * 2 + [1] * 17 + [0]]  # 2 + 9 right
    limits = Limits(max_difference=10, max_accuracy_drop=0.05)
    report = verify(always_0, expected, images, labels, batch_size=20, limits=limits)
    assert (report.reference_accuracy.correct, report.accuracy.correct) == (11, 10)
    assert report.verdicts[1].outcome == "passed"


def test_the_baseline_is_timed_in_the_same_rounds(model, write_linear, weights, reference, images, labels):
    baseline = open_session(write_linear(weights, name="dense.onnx"), "cpu", threads=1)
    limits = Limits(max_slowdown=1000.0)
    report = verify(
        model, reference, images, labels, batch_size=20, baseline=baseline, latency=QUICK, limits=limits
    )
    timing = report.latency
    assert timing is not None and timing.baseline is not None and timing.ratio is not None
    assert (timing.batch, timing.threads) == (1, 1)
    assert timing.model.n == timing.baseline.n == timing.ratio.n == 12
    assert timing.ratio.sessions == 6
    assert report.verdicts[3].outcome == "passed"


def test_a_model_of_other_shapes_than_its_twin_is_timed_beside_both(
    model, write_linear, weights, reference, images, labels
):
    baseline = open_session(write_linear(weights, name="dense.onnx"), "cpu", threads=1)
    shapes = open_session(write_linear(weights, name="shapes.onnx"), "cpu", threads=1)
    others = {"baseline": baseline, "same_shapes": shapes}
    limits = Limits(max_slowdown=1000.0)
    report = verify(model, reference, images, labels, batch_size=20, **others, latency=QUICK, limits=limits)
    timing = report.latency
    assert timing is not None and timing.same_shapes is not None and timing.same_shapes_ratio is not None
    assert timing.model.n == timing.same_shapes.n == timing.same_shapes_ratio.n == 12
    plain = report.to_json()["latency"]
    assert plain["same_shapes"]["n"] == plain["same_shapes_ratio"]["n"] == 12
    more = open_session(write_linear(weights, name="more.onnx"), "cpu", threads=2)
    with pytest.raises(UsageFault, match=r"with 1 threads, the baseline .*more"):
        verify(model, reference, images, labels, batch_size=20, same_shapes=more, latency=QUICK)


def test_a_model_alone_is_timed_without_a_ratio(model, reference, images, labels):
    timing = verify(model, reference, images, labels, batch_size=20, latency=QUICK).latency
    assert timing is not None and timing.model.n == 12
    assert timing.baseline is None and timing.ratio is None
    assert timing.same_shapes is None and timing.same_shapes_ratio is None


def test_a_model_with_a_fixed_batch_is_run_and_timed_with_it(
    write_linear, weights, reference, images, labels
):
    fixed = open_session(write_linear(weights, batch=5), "cpu", threads=1)
    report = verify(fixed, reference, images, labels, batch_size=8, latency=QUICK)
    assert report.passed and report.latency is not None and report.latency.batch == 5


def test_a_model_of_raw_uint8_images_gets_them_as_they_are(write_linear, weights, reference):
    raw = np.random.default_rng(2).integers(0, 256, (20, 3, 4, 4), dtype=np.uint8)
    model = open_session(write_linear(weights, dtype=TensorProto.UINT8), "cpu", threads=1)
    labels = reference(raw).argmax(axis=1)
    report = verify(model, reference, raw, labels, batch_size=8, limits=Limits(max_difference=0.01))
    assert report.passed and report.accuracy.top1 == 1


SCHEMA_1 = {
    "": "schema model provider onnxruntime threads n accuracy top5 per_class parity latency verdicts passed "
    "machine metadata",
    "top5": "top1 correct n low high",
    "accuracy": "reference model",
    "accuracy.model": "top1 correct n low high",
    "parity": "max_difference mean_difference agreement top1_agreement n tolerance passed",
    "latency": "batch threads model baseline ratio same_shapes same_shapes_ratio",
    "latency.model": "n median_ms median_low_ms median_high_ms sessions session_medians_ms p90_ms p95_ms "
    "p99_ms spread warm_up_rounds settled samples_ms",
    "latency.ratio": "ratio low high n sessions",
    "verdicts.0": "name outcome value limit sentence",
    "machine": "cpu logical_cores usable_cores gpus platform python onnxruntime",
}


def test_the_keys_of_schema_1_stay(model, write_linear, weights, reference, images, labels):
    """Scripts read them: a key may be added, none may go or be renamed while `schema` is 1."""
    baseline = open_session(write_linear(weights, name="dense.onnx"), "cpu", threads=1)
    report = verify(model, reference, images, labels, batch_size=20, baseline=baseline, latency=QUICK)
    plain = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert plain == report.to_json(), "plain types only"
    assert plain["schema"] == 1
    assert plain["onnxruntime"] == ort.__version__
    assert plain["metadata"] == {"arch": "linear"}
    assert len(plain["latency"]["baseline"]["samples_ms"]) == 12
    for path, keys in SCHEMA_1.items():
        part = plain
        for step in path.split(".") if path else []:
            part = part[int(step)] if step.isdigit() else part[step]
        assert set(keys.split()) <= set(part), path


def test_top_5_and_classes_are_counted_on_the_same_images(model, reference, images, labels):
    found = verify(model, reference, images, labels, batch_size=8).to_json()
    classes = [each for each in found["per_class"] if each]
    assert sum(each["n"] for each in classes) == found["top5"]["n"] == 20
    assert sum(each["correct"] for each in classes) == found["accuracy"]["model"]["correct"]
    assert found["top5"]["correct"] >= found["accuracy"]["model"]["correct"]


def test_a_ratio_is_that_of_the_medians_over_sessions(
    model, write_linear, weights, reference, images, labels
):
    baseline = open_session(write_linear(weights, name="dense.onnx"), "cpu", threads=1)
    report = verify(model, reference, images, labels, batch_size=20, baseline=baseline, latency=QUICK)
    found = report.to_json()["latency"]
    own, other = found["model"], found["baseline"]
    assert own["sessions"] == len(own["session_medians_ms"]) == found["ratio"]["sessions"] == 6
    assert own["median_low_ms"] < own["median_ms"] < own["median_high_ms"]
    assert own["median_ms"] / other["median_ms"] == pytest.approx(found["ratio"]["ratio"])


def test_arguments_that_do_not_fit_are_refused(model, write_linear, weights, reference, images, labels):
    def refused(match, *, model=model, images=images, labels=labels, **options):
        with pytest.raises(UsageFault, match=match):
            verify(model, reference, images, labels, batch_size=8, **options)

    fixed = open_session(write_linear(weights, batch=3, name="fixed.onnx"), "cpu", threads=1)
    more = open_session(write_linear(weights, name="more.onnx"), "cpu", threads=2)
    slow = Limits(max_slowdown=1.05)
    refused("20 images and 19 labels", labels=labels[:-1])
    refused(r"fixed\.onnx takes exactly 3 images a call, and 20 images", model=fixed)
    refused("max_slowdown 1.05 was given without a baseline", limits=slow, latency=QUICK)
    refused("max_slowdown 1.05 was given without a baseline", limits=slow, baseline=model)
    refused(r"with 1 threads, the baseline .*more\.onnx on cpu with 2", baseline=more, latency=QUICK)
    refused(r"the baseline .*fixed\.onnx takes exactly 3 images", baseline=fixed, latency=QUICK)


def test_a_reference_of_other_classes_is_refused(model, images, labels):
    with pytest.raises(UsageFault, match=r"shape \(20, 9\), the exported model \(20, 10\)"):
        verify(model, np.zeros((20, 9), np.float32), images, labels, batch_size=8)


@pytest.mark.parametrize(("seconds", "min_rounds"), [(-1, 64), (float("inf"), 64), (5, 9)])
def test_settings_that_give_no_interval_are_refused_before_measuring(seconds, min_rounds):
    with pytest.raises(UsageFault, match=f"and {min_rounds} rounds given for timing"):
        LatencySettings(seconds=seconds, min_rounds=min_rounds)


def test_the_machine_is_described():
    machine = describe()
    assert machine.cpu
    assert 1 <= machine.usable_cores == usable_cores() <= machine.logical_cores
    assert machine.onnxruntime == ort.__version__


def test_a_processor_and_gpus_are_read_from_files(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU: 3 GHz\n")
    assert cpu_model(tmp_path / "cpuinfo") == "Some CPU: 3 GHz"
    for bus, name in (("0000:02", "Second"), ("0000:01", "First")):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text(f"Model: \t\t {name}\nIRQ: 1\n")
    assert gpu_models(tmp_path) == ("First", "Second")


def test_files_that_do_not_tell_leave_a_fallback(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\n")
    assert cpu_model(tmp_path / "cpuinfo")
    assert cpu_model(tmp_path / "absent")
    assert gpu_models(tmp_path / "absent") == ()


LIGHT = "accuracy arrays gates latency machine parity samples"


@pytest.mark.parametrize(
    ("modules", "banned"),
    [(LIGHT, "onnxruntime"), (LIGHT + " providers session verify", "onnx torch click rich")],
)
def test_importing_evaluators_loads_no_more_than_it_needs(modules, banned):
    names = ", ".join(modules.split())
    code = (
        f"import sys, recycle_pipeline.evaluators\nfrom recycle_pipeline.evaluators import {names}\n"
        f"print([m for m in {banned.split()!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
