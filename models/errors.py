"""Errors a user can cause or must act on, each with the exit code that a script can rely on.

Every message says what was given, what was expected, and what to do. The command line prints the
message without a traceback and leaves with `exit_code`; the codes are part of the public interface.
"""


class RecycleError(Exception):
    """A failure with a message for people. Exit code 1."""

    exit_code = 1


class UsageFault(RecycleError):
    """The request itself cannot be met: a bad option, missing data, a folder in use. Exit code 2."""

    exit_code = 2


class UnfitModel(RecycleError):
    """A model that opens, and gives no logits to judge: the model is at fault. Exit code 1."""


class UnfitShape(UsageFault, UnfitModel):
    """A model that takes or gives something else than images and logits of these classes. Exit code 2."""


class MissedGate(RecycleError):
    """A measured result that a gate does not accept; the result itself is there to be read."""


class ParityFailure(MissedGate):
    """The exported model does not compute what the torch model computes. Exit code 3."""

    exit_code = 3


class AccuracyFailure(MissedGate):
    """An accuracy gate was missed. Exit code 4."""

    exit_code = 4


class LatencyRegression(MissedGate):
    """The candidate is slower than the gate allows, beyond the noise. Exit code 5."""

    exit_code = 5


class ResourceRegression(MissedGate):
    """The candidate is larger, loads more slowly or takes more memory than the gate allows. Exit code 5."""

    exit_code = 5


class CorruptArtefact(RecycleError):
    """A stored file is damaged, truncated or not what it claims to be. Exit code 6."""

    exit_code = 6


class CrashingModel(CorruptArtefact):
    """A model that ends the process of a runtime that opens it. Exit code 6."""


class UnreadableForm(MissedGate, CorruptArtefact):
    """An exported form that cannot be opened, and was judged so. Exit code 6."""


class Inconclusive(MissedGate):
    """The measurement is too noisy to say pass or fail. Exit code 7."""

    exit_code = 7


class ProviderUnavailable(RecycleError):
    """The ONNX Runtime provider that was asked for cannot run here. Exit code 8."""

    exit_code = 8


class PackageMissing(RecycleError):
    """An optional package that was asked for is not installed. Exit code 8."""

    exit_code = 8
