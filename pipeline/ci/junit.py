"""JUnit XML: a case for each verdict. The format is what Jenkins, GitLab and GitHub's reporters agree on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.gates import Verdict

# XML 1.0 has no place for control characters, not even escaped; a path may hold one.
FORBIDDEN = {code: "?" for code in range(32) if code not in (9, 10, 13)}


def junit(suite: str, verdicts: "Sequence[Verdict]", seconds: float, notes: Sequence[str] = ()) -> str:
    """A suite of one case per verdict that was asked for.

    A missed limit is a `failure`, a verdict that could not be reached an `error`: readers tell them apart.

    Args:
        suite: what was judged.
        verdicts: under the policy for those that could not be reached.
        seconds: of the whole.
        notes: what a reader must know besides, as properties of the suite.
    """
    asked = [verdict for verdict in verdicts if verdict.outcome != "not-asked"]
    count = {outcome: sum(v.outcome == outcome for v in asked) for outcome in ("failed", "inconclusive")}
    root = ElementTree.Element(
        "testsuite",
        name=_clean(suite),
        tests=str(len(asked)),
        failures=str(count["failed"]),
        errors=str(count["inconclusive"]),
        time=f"{seconds:.3f}",
    )
    properties = ElementTree.SubElement(root, "properties") if notes else root
    for note in notes:
        ElementTree.SubElement(properties, "property", name="note", value=_clean(note))
    for verdict in asked:
        case = ElementTree.SubElement(
            root, "testcase", classname=_clean(suite), name=verdict.name, time=f"{seconds / len(asked):.3f}"
        )
        if verdict.outcome != "passed":
            tag = "failure" if verdict.outcome == "failed" else "error"
            text = _clean(verdict.sentence)
            ElementTree.SubElement(case, tag, type=verdict.outcome, message=text).text = text
        else:
            ElementTree.SubElement(case, "system-out").text = _clean(verdict.sentence)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _clean(text: str) -> str:
    return text.translate(FORBIDDEN)
