"""Effective weights of each convention, beside four lines of torch or numpy that say what they are."""

import numpy as np
import pytest
import torch
from torch.nn.utils import prune

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.importing.conventions import effective
from recycle_pipeline.pipeline.importing.method import Search


def scored(seed=0, shapes=((6, 3, 3, 3), (4, 54))):
    """Two layers with weights and scores, neither ordered nor of one sign."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"layer{index}.{kind}": torch.randn(shape, generator=generator)
        for index, shape in enumerate(shapes)
        for kind in ("weight", "scores")
    }


def kept_by_numpy(scores, keep):
    order = np.argsort(np.abs(scores.ravel()), kind="stable")
    mask = np.ones(scores.size, np.float32)
    mask[order[: int((1 - keep) * scores.size)]] = 0
    return mask.reshape(scores.shape)


def test_pruned_modules_give_what_they_compute_with(masked):
    found = effective(masked.state_dict(), None)
    assert found.conventions == ("torch.nn.utils.prune",)
    assert not [name for name in found.tensors if name.endswith(("_orig", "_mask"))]
    for name, layer in masked.named_children():
        if hasattr(layer, "weight_mask"):
            assert torch.equal(found.tensors[f"{name}.weight"], layer.weight)


def test_a_pruned_bias_is_multiplied_too():
    layer = torch.nn.Linear(4, 3)
    prune.random_unstructured(layer, "bias", 1)
    assert torch.equal(effective(layer.state_dict(), None).tensors["bias"], layer.bias)


def test_plain_weights_stay_as_they_are():
    tensors = {"a.weight": torch.tensor([0.0, 1.0, -1.0])}
    found = effective(tensors, None)
    assert found.tensors["a.weight"] is tensors["a.weight"] and found.conventions == ("zeros",)


@pytest.mark.parametrize("keep", [0.1, 0.2, 0.5, 0.8])
def test_edge_popup_keeps_the_weights_of_the_highest_scores(keep):
    tensors = scored()
    found = effective(tensors, Search("edge-popup", keep)).tensors
    assert found.keys() == {"layer0.weight", "layer1.weight"}
    for layer in ("layer0", "layer1"):
        weight, scores = (tensors[f"{layer}.{kind}"].numpy() for kind in ("weight", "scores"))
        assert np.array_equal(found[f"{layer}.weight"].numpy(), weight * kept_by_numpy(scores, keep))


@pytest.mark.parametrize("keep", [0.1, 0.2, 0.5, 0.8])
def test_biprop_keeps_signs_times_the_sum_over_the_number_asked_for(keep):
    """The divisor is int(keep * n), which may be one less than what is kept: 32 and 33 of 162 at 0.2."""
    tensors = scored()
    found = effective(tensors, Search("biprop", keep)).tensors
    for layer in ("layer0", "layer1"):
        weight, scores = tensors[f"{layer}.weight"], tensors[f"{layer}.scores"]
        mask = torch.from_numpy(kept_by_numpy(scores.numpy(), keep))
        gain = (weight.abs() * mask).sum() / int(keep * weight.numel())
        assert torch.equal(found[f"{layer}.weight"], weight.sign() * (gain * mask))


def test_biprop_over_all_layers_keeps_what_is_above_one_score():
    tensors = scored()
    found = effective(tensors, Search("biprop", 0.3, "global")).tensors
    every = torch.cat([tensors[f"layer{i}.scores"].abs().flatten() for i in (0, 1)]).sort().values
    threshold = every[int((1 - 0.3) * len(every)) - 1]
    for layer in ("layer0", "layer1"):
        weight, mask = tensors[f"{layer}.weight"], tensors[f"{layer}.scores"].abs() > threshold
        gain = (weight.abs() * mask).sum() / int(mask.sum())
        assert torch.equal(found[f"{layer}.weight"], weight.sign() * gain * mask)


def test_of_equal_scores_the_first_are_pruned_and_it_is_said_how_many():
    tensors = {"a.weight": torch.ones(6), "a.scores": torch.tensor([3.0, 1, -1, 1, 1, 0])}
    found = effective(tensors, Search("edge-popup", 0.5))
    assert found.tensors["a.weight"].tolist() == [1, 0, 0, 1, 1, 0] and found.tied == 2
    assert effective(scored(), Search("edge-popup", 0.5)).tied == 0


def test_gains_do_not_depend_on_the_number_of_threads():
    tensors = scored(shapes=((512, 300),))
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(effective(tensors, Search("biprop", 0.5)).tensors["layer0.weight"])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


ONE = torch.ones(2)
SEARCH = Search("biprop", 0.5)
REFUSED = {
    "no mask": ({"a_orig": ONE}, None, "'a_orig' needs 'a_mask' of its shape"),
    "another shape": ({"a_orig": ONE, "a_mask": torch.ones(3)}, None, "'a_orig' needs 'a_mask' of its shape"),
    "a soft mask": ({"a_orig": ONE, "a_mask": ONE / 2}, None, "'a_mask' has values besides 0 and 1"),
    "no method": ({"a.weight": ONE, "a.scores": ONE}, None, "expected --method edge-popup or biprop"),
    "no scores": ({"a.weight": ONE}, SEARCH, "--method biprop is for a file with scores"),
    "no weight": ({"a.scores": ONE}, SEARCH, "'a.scores' needs 'a.weight' of its shape"),
    "half": ({"a.weight": ONE.half(), "a.scores": ONE}, SEARCH, "'a.weight' is of torch.float16"),
    "nan": (
        {"a.weight": ONE, "a.scores": ONE * torch.nan},
        SEARCH,
        "'a.scores' has values that are not finite",
    ),
    "nothing kept": ({"a.weight": ONE, "a.scores": ONE}, Search("biprop", 0.1), "layer 'a' keeps nothing"),
}


@pytest.mark.parametrize(("tensors", "search", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_incomplete_is_refused(tensors, search, words):
    with pytest.raises(UsageFault, match=words):
        effective(tensors, search)
