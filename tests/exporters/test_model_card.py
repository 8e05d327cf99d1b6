"""The card: what it says of a ticket, what it keeps to itself, and what belongs to the user."""

import dataclasses

import numpy as np
import pytest

from recycle_pipeline.exporters.model_card import Accuracy, CardFacts, new_card, updated_card
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork

HOSTILE = '"\n---\nlicense: mit\n# recycle-pipeline: end\n<!-- recycle-pipeline: end -->\n```\n<b>|'


def facts(**changes):
    mask = np.arange(40).reshape(4, 10) % 5 == 0
    tensor = MaskedTensor("a", "signed_constant", np.float32(1), mask, np.float32(0.5))
    subnetwork = Subnetwork(
        "conv2", ("no", "yes"), 1, 8, (0.5,), (0.25,), 7, "binary", 0.8, "layer", (tensor,)
    )
    content = {
        "subnetwork": dataclasses.replace(subnetwork, **changes.pop("subnetwork", {})),
        "ticket": "ticket.safetensors",
        "ticket_bytes": 1234,
        "ticket_sha256": "ab" * 32,
        "command": "recycle-pipeline run --arch conv2",
        "made_with": "recycle-pipeline 0.1.0",
        "data": "cifar10",
        "hub_data": "uoft-cs/cifar10",
        "searched": True,
        "accuracy": Accuracy(0.9, 0.91, 10_000, "cpu", 0.894, 0.906),
        "model": None,
    }
    return CardFacts(**content | changes)


def read(card):
    """The YAML as data and the rest, by the Hub's own reader."""
    repocard = pytest.importorskip("huggingface_hub")
    found = repocard.ModelCard(card, ignore_metadata_errors=False)
    return found.data, found.text


def test_a_card_is_read_by_the_hubs_own_client():
    data, text = read(new_card(facts(model="onnx/model.onnx")))
    assert data.library_name == "recycle-pipeline" and data.pipeline_tag == "image-classification"
    assert data.tags == ["recycle-pipeline", "pruning", "sparsity", "biprop", "lottery-ticket", "onnx"]
    assert (data.datasets, data.metrics, data.license) == (["uoft-cs/cifar10"], ["accuracy"], None)
    (result,) = data.eval_results
    assert (result.dataset_type, result.dataset_name, result.dataset_split) == (
        "uoft-cs/cifar10",
        "cifar10",
        "test",
    )
    assert (result.metric_type, result.metric_value, data.model_name) == (
        "accuracy",
        0.9,
        "conv2, 80.00% removed",
    )
    for words in (
        "# conv2, 80.00% removed",
        "8 of 40 weights",
        "| seed | 7 |",
        "90.00% top-1 under ONNX Runtime (cpu), 91.00% in torch, on 10,000 test images",
        f"`ticket.safetensors`, 1,234 bytes, SHA-256 `{'ab' * 32}`",
        "(pixels / 255 - (0.5)) / (0.25)",
        "2: no, yes",
        "recycle-pipeline run --arch conv2",
        "hf://OWNER/NAME",
        "`onnx/model.onnx` is the same network, dense",
    ):
        assert words in text, words


def test_an_accuracy_that_is_not_known_is_not_verified_and_in_no_yaml():
    data, text = read(new_card(facts(accuracy=None)))
    assert "| accuracy | not verified |" in text and "top-1" not in text
    assert data.metrics is None and data.eval_results is None


def test_weights_of_another_program_claim_no_training_data_and_no_method():
    data, text = read(new_card(facts(searched=False)))
    assert data.datasets is None and data.tags == ["recycle-pipeline", "pruning", "sparsity"]
    assert "The weights of another program's model" in text and "asked for" not in text
    assert "drawn from the seed" not in text


def test_what_is_not_known_is_said():
    data, text = read(new_card(facts(command=None, data=None, hub_data=None)))
    assert "The command is not known." in text and "| data | not named |" in text
    assert data.eval_results is None


def test_texts_of_users_cannot_leave_their_places():
    card = new_card(
        facts(subnetwork={"arch": HOSTILE, "classes": (HOSTILE, "b")}, data=HOSTILE, command=HOSTILE)
    )
    data, text = read(card)
    assert data.license is None and data.model_name == f"{HOSTILE}, 80.00% removed"
    assert data.eval_results[0].dataset_name == HOSTILE
    assert updated_card(card, None) is None or "There is no ticket" in updated_card(card, None)
    assert "<b>" not in text.replace(HOSTILE, "")


def test_what_the_user_wrote_stays_when_the_rest_is_renewed():
    card = new_card(facts(accuracy=None)).replace("# license: apache-2.0", "license: mit\nlanguage: en")
    card += "\n## Limits\n\nMine.\n"
    now = updated_card(card, facts())
    data, text = read(now)
    assert (data.license, data.language) == ("mit", "en") and "90.00% top-1" in text
    assert now.endswith("\n## Limits\n\nMine.\n")
    assert updated_card(now, facts(accuracy=None)) == card


def test_a_card_without_its_marks_is_none_of_ours():
    assert updated_card("# My own card\n", facts()) is None
    card = new_card(facts())
    assert updated_card(card + card, facts()) is None


def test_a_card_of_no_ticket_says_so():
    assert "There is no ticket here at present." in updated_card(new_card(facts()), None)
