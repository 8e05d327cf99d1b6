"""Exit codes: a public interface that scripts rely on."""

import pytest

from recycle_pipeline.models import errors

CODES = {
    "RecycleError": 1,
    "MissedGate": 1,
    "UnfitModel": 1,
    "UsageFault": 2,
    "UnfitShape": 2,
    "ParityFailure": 3,
    "AccuracyFailure": 4,
    "LatencyRegression": 5,
    "ResourceRegression": 5,
    "CorruptArtefact": 6,
    "CrashingModel": 6,
    "UnreadableForm": 6,
    "Inconclusive": 7,
    "ProviderUnavailable": 8,
    "PackageMissing": 8,
}


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_each_error_has_its_own_exit_code_for_good(name, code):
    assert getattr(errors, name)("message").exit_code == code


def test_every_error_is_listed_and_is_a_recycle_error():
    defined = {n: e for n, e in vars(errors).items() if isinstance(e, type) and issubclass(e, Exception)}
    assert defined.keys() == CODES.keys()
    assert all(issubclass(error, errors.RecycleError) for error in defined.values())
