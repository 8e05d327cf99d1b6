"""The model card: a README.md beside the ticket, as model hubs read it, that says what is known.

Two regions of it belong to this tool and are written anew: one in the YAML at the top, one below it. All
the rest, the licence first, is the user's. What is not known, such as an accuracy that was not verified,
is said to be unknown and is left out of the YAML.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from recycle_pipeline.exporters.quoting import code_block, markdown_text, yaml_text
from recycle_pipeline.exporters.ticket.rounding import FIELD
from recycle_pipeline.models.subnetwork import Subnetwork

YAML_BEGIN, YAML_END = "# recycle-pipeline: begin (written anew by its commands)", "# recycle-pipeline: end"
TEXT_BEGIN = "<!-- recycle-pipeline: begin (written anew by its commands) -->"
TEXT_END = "<!-- recycle-pipeline: end -->"
LICENCE = "# license: yours to choose; for example\n# license: apache-2.0"
FORM_HEADINGS = ("file", "size", "top-1", "95% interval", "latency beside onnx", "needs")
MAX_CLASSES = 20  # named; of more, the first ones
SCOPES = {"layer": "per layer", "global": "over all layers"}
KINDS = {"binary": "each a sign times its layer's gain", "continuous": "drawn values"}


@dataclass(frozen=True)
class Accuracy:
    """Top-1, fractions, as `verify` measured it.

    Attributes:
        ort, torch: under ONNX Runtime and torch.
        n: test images.
        provider: of ONNX Runtime.
        low, high: limits of the 95 % interval of `ort`, over the test images.
    """

    ort: float
    torch: float
    n: int
    provider: str
    low: float
    high: float


@dataclass(frozen=True)
class CardFacts:
    """What a card says.

    Attributes:
        subnetwork: the ticket's.
        ticket, ticket_bytes, ticket_sha256: its file.
        command: that made it; None where it is not known.
        made_with: versions, in words.
        data: name of the data set, None where none was named.
        hub_data: its name on the Hugging Face Hub, if it has one.
        searched: whether the subnetwork was searched on it by this tool; else it came from a file.
        accuracy: None where it was not verified.
        model: name of the exported ONNX model, None where there is none.
        latency: what was found of its latency, in words; None where it was not verified.
        forms: of each exported form a line of cells, see `FORM_HEADINGS`; empty where they were not verified.
    """

    subnetwork: Subnetwork
    ticket: str
    ticket_bytes: int
    ticket_sha256: str
    command: str | None
    made_with: str
    data: str | None
    hub_data: str | None
    searched: bool
    accuracy: Accuracy | None
    model: str | None
    latency: str | None = None
    forms: Sequence[Sequence[str]] = ()


def new_card(facts: CardFacts | None) -> str:
    """A whole card; None is of no ticket."""
    return (
        f"---\n{LICENCE}\n{YAML_BEGIN}\n{_yaml(facts)}{YAML_END}\n---\n\n"
        f"{TEXT_BEGIN}\n{_text(facts)}{TEXT_END}\n"
    )


def updated_card(card: str, facts: CardFacts | None) -> str | None:
    """A card with its two regions written anew; None where it does not have them, once each."""
    for begin, end, content in (
        (YAML_BEGIN, YAML_END, _yaml(facts)),
        (TEXT_BEGIN, TEXT_END, _text(facts)),
    ):
        if card.count(begin) != 1 or card.count(end) != 1 or card.index(begin) > card.index(end):
            return None
        head, _, rest = card.partition(begin)
        card = f"{head}{begin}\n{content}{end}{rest.partition(end)[2]}"
    return card


def _yaml(facts: CardFacts | None) -> str:
    if facts is None:
        return ""
    lines = ["library_name: recycle-pipeline", "pipeline_tag: image-classification", "tags:"]
    lines += [f"- {tag}" for tag in _tags(facts)]
    if facts.searched and facts.hub_data:
        lines += ["datasets:", f"- {facts.hub_data}"]
    if facts.accuracy and facts.data:
        lines += _results(facts, facts.accuracy, facts.data)
    return "\n".join(lines) + "\n"


def _tags(facts: CardFacts) -> list[str]:
    methods = {"binary": "biprop", "continuous": "edge-popup"}
    searched = [methods[facts.subnetwork.kind], "lottery-ticket"] if facts.searched else []
    return ["recycle-pipeline", "pruning", "sparsity", *searched, *(["onnx"] if facts.model else [])]


def _results(facts: CardFacts, accuracy: Accuracy, data: str) -> list[str]:
    return [
        "metrics:",
        "- accuracy",
        "model-index:",
        f"- name: {yaml_text(_title(facts))}",
        "  results:",
        "  - task:",
        "      type: image-classification",
        "    dataset:",
        f"      type: {yaml_text(facts.hub_data or data)}",
        f"      name: {yaml_text(data)}",
        "      split: test",
        "    metrics:",
        "    - type: accuracy",
        f"      value: {accuracy.ort!r}",
        "      name: top-1 under ONNX Runtime",
    ]


def _title(facts: CardFacts) -> str:
    return f"{facts.subnetwork.arch}, {_removed(facts.subnetwork)} removed"


def _removed(subnetwork: Subnetwork) -> str:
    return f"{1 - subnetwork.kept / subnetwork.size:.2%}"


def _text(facts: CardFacts | None) -> str:
    if facts is None:
        return "There is no ticket here at present.\n"
    rows = "".join(f"| {name} | {value} |\n" for name, value in _rows(facts))
    parts = [f"# {markdown_text(_title(facts))}", _what(facts), f"| | |\n|---|---|\n{rows}".rstrip()]
    parts += ["## Forms", _forms(facts)] if facts.forms else []
    parts += ["## Rebuild", _rebuild(), "## Made by", _made_by(facts)]
    return "\n\n".join(parts) + "\n"


def _what(facts: CardFacts) -> str:
    stored = "The ticket rebuilds every tensor bit for bit on any machine, and compares each with its digest."
    model = (
        f" `{facts.model}` is the same network, dense: single zeros make it no smaller and no faster, only "
        "filters that are dead altogether do, where they were removed."
    )
    origin = (
        "A subnetwork of an untrained network: its weights are numbers drawn from the seed, and a search "
        "chose which of them to keep."
        + (" Batch norm's gamma and beta were trained." if facts.subnetwork.options.affine else "")
        if facts.searched
        else "The weights of another program's model, stored as masks, signs and a gain per layer. How they "
        "were found is not known here; their signs do not come from the seed, and are stored."
    )
    return f"{origin} {stored}{model if facts.model else ''}"


def _rows(facts: CardFacts) -> list[tuple[str, str]]:
    sub = facts.subnetwork
    asked = f", {sub.prune:g} asked for {SCOPES[sub.scope]}" if facts.searched else ""
    sizes = f"{sub.channels} x {sub.image_size} x {sub.image_size}"
    return [
        ("architecture", markdown_text(sub.arch + sub.options.described())),
        ("kept", f"{sub.kept:,} of {sub.size:,} weights, {KINDS[sub.kind]}"),
        ("sparsity", f"{_removed(sub)} of the weights are removed{asked}"),
        ("seed", str(sub.seed)),
        ("data", markdown_text(facts.data) if facts.data else "not named"),
        ("accuracy", _accuracy(facts)),
        *([("latency", markdown_text(facts.latency))] if facts.latency else []),
        *_rounding(sub),
        ("input", f"{sizes}: (pixels / 255 - {_numbers(sub.mean)}) / {_numbers(sub.std)}"),
        ("classes", _classes(sub.classes)),
        ("ticket", f"`{facts.ticket}`, {facts.ticket_bytes:,} bytes, SHA-256 `{facts.ticket_sha256}`"),
    ]


def _rounding(subnetwork: Subnetwork) -> list[tuple[str, str]]:
    """What of the ticket is not as it was searched, if anything."""
    bits = subnetwork.recipe.get(FIELD)
    return [("batch norm", f"rounded to {bits} bits of fraction")] if type(bits) is int else []


def _accuracy(facts: CardFacts) -> str:
    found = facts.accuracy
    if found is None:
        return "not verified"
    return (
        f"{found.ort:.2%} top-1 under ONNX Runtime ({markdown_text(found.provider)}), {found.torch:.2%} in "
        f"torch, on {found.n:,} test images; 95% interval {found.low:.2%} to {found.high:.2%} over the "
        "images. One search: another seed gives another subnetwork"
    )


def _forms(facts: CardFacts) -> str:
    lines = [FORM_HEADINGS, ["---"] * len(FORM_HEADINGS), *(map(markdown_text, row) for row in facts.forms)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\nLatencies are ratios of medians, timed in the same rounds, of one measurement."


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _classes(classes: Sequence[str]) -> str:
    named = ", ".join(markdown_text(name) for name in classes[:MAX_CLASSES])
    return f"{len(classes)}: {named}{', ...' if len(classes) > MAX_CLASSES else ''}"


def _rebuild() -> str:
    line = "recycle-pipeline reconstruct hf://OWNER/NAME --output weights.safetensors"
    python = (
        "from recycle_pipeline.pipeline import reconstruct\n\n"
        'network = reconstruct("hf://OWNER/NAME")  # or the ticket\'s file; an nn.Module, ready for inference'
    )
    return (
        f"{code_block(line, 'sh')}\n\n{code_block(python, 'python')}\n\nOWNER/NAME is this repository's name."
    )


def _made_by(facts: CardFacts) -> str:
    command = code_block(facts.command, "sh") if facts.command else "The command is not known."
    return f"{command}\n\n{markdown_text(facts.made_with)}"
