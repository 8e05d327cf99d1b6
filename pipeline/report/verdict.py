"""The verdict of a run: one word and one sentence, from the gates that were asked for."""

from collections.abc import Sequence

from recycle_pipeline.pipeline.report.facts import Gate, Outcome, Verdict

PASSED: Outcome = "passed"
FAILED: Outcome = "failed"
UNSURE: Outcome = "inconclusive"


def outcome_of(gates: Sequence[Gate]) -> Outcome:
    """The worst of some gates that were asked for."""
    outcomes = {gate.outcome for gate in gates}
    if not outcomes:
        return "not gated"
    if FAILED in outcomes:
        return FAILED
    return PASSED if outcomes == {PASSED} else UNSURE


def verdict_of(gates: Sequence[Gate] | None, unjudged: Sequence[str] = ()) -> Verdict:
    """The worst outcome decides.

    Args:
        gates: those that were asked for; None where nothing was verified.
        unjudged: forms that are there and that no gate saw, beside which no run passes.
    """
    found = _verdict_of(gates)
    if not unjudged or found.outcome == FAILED:
        return found
    are = "is not the file" if len(unjudged) == 1 else "are not the files"
    return Verdict(
        "not verified", f"{', '.join(unjudged)} {are} that `verify` judged: verify again.", found.gates
    )


def _verdict_of(gates: Sequence[Gate] | None) -> Verdict:
    if gates is None:
        return Verdict(
            "not verified", "No exported model of this run was compared with torch and with labels."
        )
    if not gates:
        return Verdict("not gated", "The model was verified, and no gate was asked for.")
    outcome, gates = outcome_of(gates), tuple(gates)
    if outcome == FAILED:
        failed = [gate for gate in gates if gate.outcome == FAILED]
        return Verdict(FAILED, _sentence(failed, len(gates), "failed"), gates)
    if outcome == UNSURE:
        unsure = [gate for gate in gates if gate.outcome != PASSED]
        return Verdict(UNSURE, _sentence(unsure, len(gates), "could not decide"), gates)
    forms = list(dict.fromkeys(gate.form for gate in gates))
    of = forms[0] if len(forms) == 1 else f"{len(forms)} exported forms"
    many = f"All {len(gates)} gates" if len(gates) > 1 else "The one gate"
    return Verdict("passed", f"{many} of {of} passed.", gates)


def _sentence(gates: Sequence[Gate], all_: int, what: str) -> str:
    first = gates[0]
    return f"{len(gates)} of {all_} gates {what}. {first.form}, {first.name}: {first.sentence}."
