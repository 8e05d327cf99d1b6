"""Facts of runs that can be changed, and a page taken apart."""

import dataclasses
import json
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.exporters.ticket.writer import write_ticket
from recycle_pipeline.pipeline.report.collect import read_runs

VOID = {"meta", "link", "br", "img", "input"}
SCRIPT = "<script>alert(1)</script>"
HOSTILE = (SCRIPT, '"><img src=x onerror=alert(2)>', "{{ 7 * 7 }}", "a|b`c$d$", "]]></svg><b>", "\x00\u202e")


@pytest.fixture
def pages_without_pictures():
    """In place of the one for other tests: here they are drawn."""


@pytest.fixture(scope="session")
def read(finished):
    """The finished run as read for a report."""
    (run,) = read_runs([finished.folder.root])
    return run


@pytest.fixture
def change_verify(run_copy):
    """Changes verify.json of the copy: called with a function of its content."""

    def change(edit):
        path = run_copy / "verify.json"
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))

    return change


@dataclass
class Element:
    tag: str
    attributes: dict
    parent: "Element | None"
    texts: list = field(default_factory=list)
    children: list = field(default_factory=list)

    @property
    def text(self):
        return "".join(part if isinstance(part, str) else part.text for part in self.texts)

    def all(self, *tags):
        found = [self] if self.tag in tags else []
        return found + [each for child in self.children for each in child.all(*tags)]

    def inside(self, tag):
        return self.parent is not None and (self.parent.tag == tag or self.parent.inside(tag))


class Parser(HTMLParser):
    """A tree of elements; refuses tags that are not closed in order."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = self.here = Element("document", {}, None)

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in <{tag}>"
        element = Element(tag, dict(attrs), self.here)
        self.here.children.append(element)
        self.here.texts.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.here = self.here.parent

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.here.tag == tag, f"</{tag}> closes <{self.here.tag}>"
        self.here = self.here.parent

    def handle_data(self, data):
        self.here.texts.append(data)


@pytest.fixture
def parsed():
    """Takes a page apart."""

    def parse(page):
        parser = Parser()
        parser.feed(page)
        assert parser.here is parser.root, f"<{parser.here.tag}> is not closed"
        return parser.root

    return parse


@pytest.fixture
def hostile_run(run_copy, change_verify):
    """The copy of the run with classes and layers whose names try to leave their places."""
    path = run_copy / "ticket.safetensors"
    found = load_ticket(path)
    tensors = tuple(
        dataclasses.replace(tensor, name=name) for tensor, name in zip(found.tensors, HOSTILE, strict=False)
    )
    classes = (*HOSTILE, *found.classes[len(HOSTILE) :])
    write_ticket(dataclasses.replace(found, classes=classes, tensors=tensors), path)
    change_verify(lambda content: content.update(classes=classes))
    return run_copy
