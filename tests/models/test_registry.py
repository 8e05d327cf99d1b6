"""The registry: known names, custom builders from the user's folder, and every refusal."""

import importlib
import sys
import uuid

import pytest
from torch import nn

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.models.registry import ARCHITECTURES, build, check_options, find_builder, is_custom

SIZES = {"classes": 4, "channels": 2, "image_size": 6}
BODY = """
from torch import nn

def network(classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, classes))

def failing(classes, channels, image_size):
    raise ZeroDivisionError("no width")

def other_keywords(num_classes):
    return nn.Identity()

def no_module(classes, channels, image_size):
    return {"layers": 3}

constant = 5
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Name of a fresh module in the current folder, which is not on sys.path yet."""

    def write(body=BODY):
        name = f"custom_{uuid.uuid4().hex}"
        (tmp_path / f"{name}.py").write_text(body)
        importlib.invalidate_caches()
        return name

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)
    yield write
    for name in set(sys.modules) - known:
        if name.startswith("custom_"):
            del sys.modules[name]


def test_the_registered_architectures_are_these():
    """The names are public: in command lines, tickets and run folders."""
    names = "conv2 conv4 conv6 conv8 resnet18 resnet34 resnet50 resnet20 resnet32 resnet44 resnet56 resnet110"
    assert " ".join(ARCHITECTURES) == f"{names} vgg_small vgg_small_bn"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_registered_name_is_found_and_is_not_custom(arch):
    assert find_builder(arch).__name__ == arch
    assert not is_custom(arch)


@pytest.mark.parametrize(
    ("arch", "hint"), [("resnet", "did you mean resnet"), ("conv-6", "did you mean conv6"), ("vit", "")]
)
def test_an_unknown_name_is_answered_with_the_known_ones(arch, hint):
    with pytest.raises(UsageFault, match=f"unknown arch '{arch}'") as caught:
        find_builder(arch, import_custom=True)
    message = str(caught.value)
    assert ", ".join(ARCHITECTURES) in message and "package.module:function" in message
    assert hint in message and ("did you mean" in message) == bool(hint)


def test_a_custom_network_is_built_from_the_current_folder(module):
    network = build(f"{module()}:network", **SIZES, import_custom=True)
    assert isinstance(network, nn.Sequential)
    assert tuple(network[1].weight.shape) == (4, 72)


def test_a_custom_name_from_a_file_is_not_imported(module):
    name = module("raise SystemExit('this ran')")
    assert is_custom(f"{name}:network")
    with pytest.raises(
        UsageFault, match=f"nothing named in a file is imported; .* --arch {name}:network on the"
    ):
        build(f"{name}:network", **SIZES)
    assert name not in sys.modules


def test_a_module_that_is_not_there_is_refused(module, tmp_path):
    with pytest.raises(
        UsageFault, match="cannot import arch 'custom_absent:network': ModuleNotFoundError: No module named"
    ) as caught:
        find_builder("custom_absent:network", import_custom=True)
    assert str(tmp_path) in str(caught.value)


def test_a_function_that_is_not_there_is_refused(module):
    with pytest.raises(UsageFault, match=r"has no attribute 'absent'; expected package\.module:function"):
        find_builder(f"{module()}:absent", import_custom=True)


@pytest.mark.parametrize(
    "arch",
    [
        ":network",
        "custom_absent:",
        "custom_absent:a:b",
        "custom absent:network",
        "custom_absent.inner:network",
        pytest.param(".relative:network"),
    ],
)
def test_a_malformed_custom_name_is_refused(arch, module):
    with pytest.raises(UsageFault, match="cannot import arch"):
        find_builder(arch, import_custom=True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import absent_dependency", "No module named 'absent_dependency'"),
        pytest.param("def network(:", "syntax"),
        pytest.param("1 / 0", "division by zero"),
    ],
)
def test_a_module_that_fails_on_import_is_refused_with_its_own_error(body, message, module):
    with pytest.raises(UsageFault, match=f"cannot import arch .*{message}"):
        find_builder(f"{module(body)}:network", import_custom=True)


def test_something_that_is_no_function_is_refused(module):
    with pytest.raises(UsageFault, match="is a int, expected a function that builds a network"):
        find_builder(f"{module()}:constant", import_custom=True)


def test_a_builder_that_fails_is_refused_with_its_own_error(module):
    expected = r":failing\(classes=4, channels=2, image_size=6\) failed: ZeroDivisionError: no width"
    with pytest.raises(UsageFault, match=expected) as caught:
        build(f"{module()}:failing", **SIZES, import_custom=True)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_builder_that_takes_other_keywords_is_refused(module):
    with pytest.raises(UsageFault, match=r"failed: TypeError: .*unexpected keyword argument 'classes'"):
        build(f"{module()}:other_keywords", **SIZES, import_custom=True)


def test_a_builder_that_returns_no_module_is_refused(module):
    with pytest.raises(UsageFault, match=r":no_module returned a dict, expected a torch\.nn\.Module"):
        build(f"{module()}:no_module", **SIZES, import_custom=True)


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({"width": 0.5}, "--width 0.5"),
        ({"activations": "binary"}, "--activations binary"),
        ({"batch_norm": "learned", "width": 2.0}, "--width 2.0, --batch-norm learned"),
    ],
)
def test_options_of_a_custom_arch_are_refused(options, given, module):
    arch = f"{module()}:network"
    with pytest.raises(
        UsageFault, match=f"^{given} is for the architectures that come .* {arch} is your own"
    ):
        build(arch, **SIZES, options=ArchOptions(**options), import_custom=True)
    check_options(arch, ArchOptions())
