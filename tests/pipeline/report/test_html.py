"""The page as text: what a screen reader needs, what a network would be needed for, and names as names."""

import itertools
import re

import pytest

from recycle_pipeline.pipeline.report.collect import read_runs
from recycle_pipeline.pipeline.report.html import comparison_page, run_page


@pytest.fixture(scope="session")
def page(read):
    return run_page(read)


@pytest.fixture(params=["one", "several"])
def any_page(request, read, page):
    """Both kinds."""
    return page if request.param == "one" else comparison_page([read, read])


def test_it_says_the_verdict_first(page, parsed):
    headings = parsed(page).all("h1", "h2")
    assert headings[1].text.strip() == "Verdict: Passed"
    assert parsed(page).all("title")[0].text == "passed: mine"


def test_it_needs_no_network_and_runs_no_script(any_page, parsed):
    root = parsed(any_page)
    assert not root.all("script", "iframe", "object", "embed", "base", "form")
    for element in root.all(*{e.tag for e in _every(root)}):
        for name, value in element.attributes.items():
            assert not name.startswith("on"), name
            if name in ("href", "src", "action"):
                assert value.startswith("#") or value == "data:,", value
    assert "default-src 'none'" in any_page
    assert not re.search(r"url\((?!#)|@import|https?://", any_page)


def _every(element):
    yield element
    for child in element.children:
        yield from _every(child)


def test_it_is_small(any_page):
    assert len(any_page.encode()) < 1_500_000


def test_it_has_a_language_and_landmarks(any_page, parsed):
    root = parsed(any_page)
    assert root.all("html")[0].attributes["lang"] == "en"
    for landmark in ("header", "main", "footer", "h1"):
        assert len(root.all(landmark)) == 1, landmark
    (skip,) = [link for link in root.all("a") if link.attributes.get("class") == "skip"]
    assert skip.attributes["href"] == "#content" and root.all("main")[0].attributes["id"] == "content"


def test_headings_go_down_a_step_at_a_time(any_page, parsed):
    levels = [int(heading.tag[1]) for heading in parsed(any_page).all("h1", "h2", "h3", "h4", "h5")]
    assert levels[0] == 1
    assert all(now <= before + 1 for before, now in itertools.pairwise(levels))


def test_ids_are_unique_and_every_reference_has_its_target(any_page, parsed):
    every = list(_every(parsed(any_page)))
    ids = [element.attributes["id"] for element in every if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    wanted = {e.attributes["href"][1:] for e in every if e.attributes.get("href", "").startswith("#")}
    wanted |= {e.attributes["aria-labelledby"] for e in every if "aria-labelledby" in e.attributes}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", any_page))
    assert wanted <= set(ids)


def test_every_table_has_a_caption_scopes_and_whole_rows(any_page, parsed):
    tables = parsed(any_page).all("table")
    assert tables
    for table in tables:
        assert table.children[0].tag == "caption" and table.children[0].text.strip()
        columns = table.all("thead")[0].all("th")
        assert all(head.attributes["scope"] == "col" for head in columns)
        rows = table.all("tbody")[0].all("tr")
        assert rows, table.children[0].text
        for row in rows:
            assert row.children[0].attributes["scope"] == "row"
            assert len(row.children) == len(columns)
            labels = [cell.attributes["data-label"] for cell in row.children[1:]]
            assert labels == [head.text for head in columns[1:]]


def test_every_picture_says_its_numbers_to_those_who_cannot_see_it(any_page, parsed):
    root = parsed(any_page)
    pictures = [e for e in _every(root) if e.attributes.get("role") == "img"]
    assert len(pictures) >= 3
    for picture in pictures:
        assert re.search(r"\d", picture.attributes["aria-label"])
    for drawing in root.all("svg"):
        assert drawing.parent in pictures or drawing.attributes.get("aria-hidden") == "true"
    for figure in root.all("figure"):
        assert figure.all("figcaption") and figure.all("h3")


def test_pictures_take_their_colours_from_the_page(any_page, parsed):
    style = parsed(any_page).all("style")[0].text
    body = any_page[any_page.index("</style>") :]
    assert set(re.findall(r"#[0-9a-f]{6}\b", body)) <= {"#000000"}
    defined = re.findall(r"--([a-z]+): #", style)
    for variable in set(re.findall(r"var\(--([a-z]+)\)", body)):
        assert defined.count(variable) == 3, f"{variable}: light, dark and print"


def luminance(colour):
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_and_lines_stand_out_in_light_in_dark_and_on_paper(page, parsed):
    """WCAG AA: 4.5 to 1 for text. The series of charts are text too: they name themselves."""
    style = parsed(page).all("style")[0].text
    palettes = [
        dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.S)
    ]
    assert len(palettes) == 3
    for palette in palettes:
        for ground in ("paper", "raised"):
            for name in ("ink", "muted", "a", "b", "c", "d", "good", "bad", "unsure", "link"):
                pair = sorted((luminance(palette[name]), luminance(palette[ground])))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (name, ground, palette[name])


def test_names_stay_names(hostile_run, parsed):
    [run] = read_runs([hostile_run])
    page = run_page(run)
    root = parsed(page)
    assert not root.all("script", "img", "b")
    for name in ("<script>alert(1)</script>", "{{ 7 * 7 }}", "a|b`c$d$", "]]></svg><b>"):
        assert name in root.text
    assert "\x00" not in page and "\ufffd\ufffd" in page


def test_the_same_run_gives_the_same_bytes(read, page):
    assert run_page(read) == page


def test_what_was_timed_comes_with_n_and_interval(page, parsed):
    text = " ".join(parsed(page).text.split())
    assert re.search(r"95% interval [\d.]+% to [\d.]+%, n = 364 test images", text)
    assert re.search(r"95% interval [\d.]+ to [\d.]+, n = [\d,]+ (rounds|pairs of sessions)", text)
    for words in ("A single run", "counted", "no interval", "in one process"):
        assert words in text


def test_a_run_with_a_search_alone_says_what_is_missing(command, here, same_run, parsed):
    assert command("search", *same_run, "mine").code == 0
    [run] = read_runs([here / "mine"])
    root = parsed(run_page(run))
    assert "Verdict: Not verified" in root.text and "recycle-pipeline pack mine" in root.text
    assert not [e for e in _every(root) if e.attributes.get("id") == "latencies"]
