"""Providers by name: any that ONNX Runtime knows, in one spelling, with options; the others are refused."""

import numpy as np
import onnxruntime as ort
import pytest

from recycle_pipeline.evaluators.provider_names import base, canonical, offered, provider_of, short
from recycle_pipeline.evaluators.providers import brief, usable, why_not
from recycle_pipeline.evaluators.session import best_provider, open_session
from recycle_pipeline.evaluators.timed_call import call_of, random_images
from recycle_pipeline.models.errors import ProviderUnavailable, UsageFault


@pytest.mark.parametrize("name", ort.get_all_providers())
def test_every_provider_that_this_runtime_knows_has_a_short_name(name):
    assert provider_of(short(name)).ort_name == provider_of(name).ort_name == name
    assert canonical(name) == canonical(short(name).upper()) == short(name)


def test_options_are_kept_and_spelled_in_one_order():
    asked = "OpenVINOExecutionProvider:num_of_threads=1, device_type=CPU"
    assert canonical(asked) == "openvino:device_type=CPU,num_of_threads=1"
    assert dict(provider_of(asked).options) == {"device_type": "CPU", "num_of_threads": "1"}
    assert base(asked) == "openvino"
    assert provider_of("cuda:use_tf32=1,device_id=1").options == {"use_tf32": "1", "device_id": "1"}
    assert provider_of("cuda:a=b=c").options["a"] == "b=c", "a value may hold the sign"


@pytest.mark.parametrize("asked", ["cpu:", "cpu:x", "cpu:=1", "cpu:x=1,x=2", "cpu:x=1,"])
def test_options_that_are_none_are_refused(asked):
    with pytest.raises(UsageFault, match="is no option; expected KEY=VALUE"):
        canonical(asked)


@pytest.mark.parametrize("asked", ["", "gpu", "auto", "ExecutionProvider", "cpu ", "../cpu"])
def test_an_unknown_name_is_refused_with_those_that_may_be_asked_for(asked):
    with pytest.raises(UsageFault) as caught:
        canonical(asked)
    message = str(caught.value)
    assert all(name in message for name in (*offered(), "openvino", "cuda"))


def test_a_model_opened_under_the_long_name_is_the_same_model(write_linear, weights, images):
    path = write_linear(weights)
    models = [open_session(path, name, 1) for name in ("cpu", "CPUExecutionProvider", "CPU:x=1")]
    assert [model.provider for model in models] == ["cpu", "cpu", "cpu:x=1"]
    first, *others = (model.predict(images) for model in models)
    assert all(np.array_equal(first, other) for other in others)
    assert best_provider("CPUExecutionProvider") == ("cpu", None)


def test_a_provider_of_another_build_is_refused_with_what_this_one_offers(write_linear, weights):
    name = next(short(name) for name in ort.get_all_providers() if name not in ort.get_available_providers())
    with pytest.raises(ProviderUnavailable) as caught:
        open_session(write_linear(weights), name)
    message = str(caught.value)
    assert caught.value.exit_code == 8
    assert f"provider {name!r} was asked for" in message
    assert f"offers {', '.join(offered())} only" in message
    assert f"Usable here: {', '.join(usable())}." in message


@pytest.mark.parametrize("name", [name for name in offered() if why_not(name)] or [None])
def test_a_provider_on_offer_that_computes_nothing_here_is_refused_and_never_replaced(
    write_linear, weights, name, capfd
):
    if name is None:
        pytest.skip("all that this build offers can run here")
    why_not.cache_clear()
    with pytest.raises(ProviderUnavailable, match="it cannot run here: "):
        open_session(write_linear(weights), name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", usable())
def test_each_provider_that_computes_here_agrees_with_numpy(write_linear, weights, images, name):
    model = open_session(write_linear(weights), name, 1)
    np.testing.assert_allclose(model.predict(images), images.reshape(20, 48) @ weights, rtol=1e-3, atol=1e-3)


def test_bound_memory_is_refused_where_it_is_not_known_to_be_the_providers(write_linear, weights):
    model = open_session(write_linear(weights), "cpu", 1)
    some = random_images(model, 1)
    call_of(model, some, "excluded")()
    object.__setattr__(model, "provider", "openvino:device_type=GPU")
    with pytest.raises(UsageFault, match="where the tensors of provider 'openvino' lie is not known"):
        call_of(model, some, "excluded")


def test_a_refused_option_is_told_without_the_signature():
    error = RuntimeError(
        "/onnxruntime/onnxruntime/python/state.cc:1053 std::shared_ptr<F> make(const S&, const M&) "
        "Invalid OpenVINO EP option: foo"
    )
    assert brief(error) == "Invalid OpenVINO EP option: foo"
