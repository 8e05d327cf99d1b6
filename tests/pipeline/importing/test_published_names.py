"""Names of public code, and those that a user gives."""

import pytest
import torch

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.importing.published_names import renamed

X = torch.zeros(1)


def ours(arch, **options):
    network = build(arch, classes=10, channels=3, image_size=32, options=ArchOptions(**options))
    return {name for name in network.state_dict() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("arch", ["resnet18", "resnet50", "resnet20"])
@pytest.mark.parametrize("shortcut", ["shortcut", "downsample"])
def test_names_of_public_resnets(arch, shortcut):
    def theirs(name):
        pairs = [("stem.conv", "conv1"), ("stem.bn", "bn1"), ("classifier", "fc")]
        pairs += [("shortcut.conv", f"{shortcut}.0"), ("shortcut.bn", f"{shortcut}.1")]
        for old, new in pairs:
            name = name.replace(old, new)
        return name

    names = ours(arch, batch_norm="learned")
    assert renamed({theirs(name): X for name in names}, arch).keys() == names


SEQUENCES = {  # positions in the published nn.Sequential: activations and pools have no tensors
    ("conv2", "relu"): ({0: "conv1", 2: "conv2"}, {0: "linear1", 2: "linear2", 4: "linear3"}),
    ("conv2", "binary"): (
        {0: "conv1", 1: "bn1", 3: "conv2", 5: "bn2"},
        {0: "linear1", 1: "linear1_bn", 3: "linear2", 4: "linear2_bn", 6: "linear3"},
    ),
    ("vgg_small", "relu"): (
        {
            0: "conv1",
            2: "conv2",
            4: "bn2",
            5: "conv3",
            6: "conv4",
            8: "bn4",
            9: "conv5",
            10: "conv6",
            12: "bn6",
        },
        {0: "classifier"},
    ),
}


@pytest.mark.parametrize(("arch", "activations"), SEQUENCES)
def test_positions_in_public_sequences_are_counted_as_they_are_executed(arch, activations):
    convs, linear = SEQUENCES[arch, activations]
    places = {f"convs.{at}": name for at, name in convs.items()}
    places |= {f"linear.{at}": name for at, name in linear.items()}
    kinds = {
        place: ["running_mean", "running_var"] if "bn" in name else ["weight"]
        for place, name in places.items()
    }
    theirs = {f"{place}.{kind}": X for place in reversed(places) for kind in kinds[place]}
    found = renamed(theirs, arch)
    assert found.keys() == ours(arch, activations=activations)
    assert found.keys() == {f"{places[place]}.{kind}" for place in places for kind in kinds[place]}


@pytest.mark.parametrize("arch", ["resnet18", "conv6", "vgg_small"])
def test_our_own_names_stay(arch):
    assert renamed(dict.fromkeys(ours(arch), X), arch).keys() == ours(arch)


def test_names_of_a_users_own_network_stay():
    names = {"conv1.weight": X, "fc.weight": X, "convs.0.weight": X}
    assert renamed(names, "my.nets:resnet18").keys() == names.keys()


def test_a_rename_is_of_whole_parts_of_a_name_and_goes_first():
    tensors = {"body.conv1.weight": X, "bodyguard.weight": X, "head": X}
    found = renamed(tensors, "my.nets:net", [("body", "trunk"), ("head", "tail.bias"), ("trunk.conv1", "c")])
    assert found.keys() == {"c.weight", "bodyguard.weight", "tail.bias"}
    assert renamed({"backbone.head.weight": X}, "resnet18", [("backbone.head", "fc")]).keys() == {
        "classifier.weight"
    }


def test_a_rename_that_nothing_bears_and_two_tensors_of_one_name_are_refused():
    with pytest.raises(UsageFault, match=r"--rename bod=x: no tensor of the file is called bod"):
        renamed({"body.weight": X}, "resnet18", [("bod", "x")])
    with pytest.raises(UsageFault, match=r"two tensors of the file would be 'classifier.weight'"):
        renamed({"fc.weight": X, "classifier.weight": X}, "resnet18")
