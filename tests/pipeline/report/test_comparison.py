"""Several runs: what can be compared, the front, and repetitions over seeds."""

import dataclasses

from recycle_pipeline.pipeline.report.comparison import compare
from recycle_pipeline.pipeline.report.estimate import Estimate, proportion
from recycle_pipeline.pipeline.report.facts import Size
from recycle_pipeline.pipeline.report.html import comparison_page
from recycle_pipeline.pipeline.report.markdown import to_markdown


def variant(facts, *, top1=None, size=None, ms=None, machine=None, n=None, **settings):
    """The facts of another run."""
    verified = facts.verified
    latency = verified.latency
    if ms is not None:
        ratios = tuple(dataclasses.replace(row, median_ms=ms) for row in latency.ratios)
        models = tuple(dataclasses.replace(m, median=Estimate(ms, 70, "rounds")) for m in latency.models)
        latency = dataclasses.replace(latency, ratios=ratios, models=models)
    if machine is not None:
        latency = dataclasses.replace(latency, machine=machine)
    images = n or verified.torch.n
    estimate = proportion(verified.forms[0].top1.value if top1 is None else top1, images)
    forms = (dataclasses.replace(verified.forms[0], top1=estimate),)
    verified = dataclasses.replace(
        verified, forms=forms, latency=latency, torch=proportion(verified.torch.value, images)
    )
    sizes = tuple(
        Size(row.name, row.kind, row.about, size) if row.name == "onnx" and size else row
        for row in facts.sizes
    )
    return dataclasses.replace(facts, verified=verified, sizes=sizes, settings={**facts.settings, **settings})


def front(comparison):
    (group,) = comparison.groups
    return [point.run for point in group.points if point.better is None]


def test_a_run_that_is_worse_in_everything_is_not_on_the_front(read):
    a = variant(read.facts, top1=0.9, size=1000, ms=1.0)
    b = variant(read.facts, top1=0.5, size=2000, ms=2.0)
    found = compare([a, b])
    assert front(found) == [1]
    assert found.groups[0].points[1].better == 0 and found.groups[0].points[1].sure


def test_intervals_that_overlap_are_said_to(read):
    a = variant(read.facts, top1=0.90, size=1000, ms=1.0)
    b = variant(read.facts, top1=0.89, size=2000, ms=2.0)
    assert not compare([a, b]).groups[0].points[1].sure
    assert "accuracy intervals overlap" in to_markdown([a, b])


def test_a_run_that_is_better_in_one_thing_is_on_the_front(read):
    a = variant(read.facts, top1=0.9, size=1000, ms=2.0)
    b = variant(read.facts, top1=0.5, size=2000, ms=1.0)
    assert front(compare([a, b])) == [1, 2]


def test_latencies_of_two_machines_are_not_compared(read):
    a = variant(read.facts, top1=0.9, size=1000, ms=2.0, machine="A")
    b = variant(read.facts, top1=0.5, size=2000, ms=1.0, machine="B")
    found = compare([a, b])
    assert front(found) == [1] and "different machines" in found.groups[0].note
    assert "different machines" in to_markdown([a, b])


def test_accuracies_on_other_images_are_not_compared(read):
    a = variant(read.facts, top1=0.9, n=100)
    b = variant(read.facts, top1=0.5, n=200)
    assert len(compare([a, b]).groups) == 2


def test_seeds_are_repetitions_and_other_settings_are_not(read):
    a, b = variant(read.facts, top1=0.9, seed=0), variant(read.facts, top1=0.8, seed=1)
    c = variant(read.facts, top1=0.7, seed=2, prune=0.5)
    found = compare([a, b, c])
    (repeated,) = found.repeated
    assert repeated.runs == (1, 2) and repeated.top1.n == 2
    assert abs(repeated.top1.value - 0.85) < 1e-12 and repeated.top1.interval is not None
    assert set(found.differing) == {"seed", "prune"}


def test_one_seed_twice_is_no_repetition(read):
    assert compare([read.facts, read.facts]).repeated == ()


def test_runs_that_are_not_verified_are_listed_and_have_no_points(read, parsed):
    bare = dataclasses.replace(read, facts=dataclasses.replace(read.facts, verified=None, name="bare"))
    found = compare([bare.facts, bare.facts])
    assert found.groups == ()
    assert "bare" in parsed(comparison_page([bare, bare])).text and "bare" in to_markdown([bare.facts] * 2)
