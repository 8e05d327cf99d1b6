"""Reports in a real browser: at two widths, in light, in dark and on paper, with nothing to complain of.

Chromium comes from the system (Debian: `apt-get install chromium`), playwright drives it.
"""

import shutil
from collections import Counter
from types import SimpleNamespace

import pytest

from recycle_pipeline.pipeline.report.collect import read_runs
from recycle_pipeline.pipeline.report.html import comparison_page, run_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next((found for name in BROWSERS if (found := shutil.which(name))), None)
WIDTHS = (390, 1280)
OVERHANG = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if PROGRAM is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def look(browser, tmp_path):
    """Opens a page from a file: called with its text, gives the tab and all that went wrong in it."""
    contexts = []

    def open_(text, *, width=1280, scheme="light"):
        path = tmp_path / "report.html"
        path.write_text(text)
        context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, bypass_csp=False
        )
        contexts.append(context)
        tab, complaints, requests = context.new_page(), [], []
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(path.as_uri())
        wanted = [url for url in requests if not url.startswith(("data:", path.as_uri()))]
        return SimpleNamespace(tab=tab, complaints=complaints, requests=wanted)

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="module", params=["one", "several"])
def page(request, read):
    return run_page(read) if request.param == "one" else comparison_page([read, read])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_without_a_word_and_is_worth_a_picture(look, page, tmp_path, width, scheme):
    seen = look(page, width=width, scheme=scheme)
    shot = seen.tab.screenshot(path=tmp_path / f"report-{width}-{scheme}.png", full_page=True)
    assert (seen.complaints, seen.requests) == ([], [])
    assert shot.startswith(b"\x89PNG") and len(shot) > 20_000  # not blank
    red, green, blue = seen.tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)")
    assert (int(red) + int(green) + int(blue) > 3 * 128) == (scheme == "light")


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_it_does_not_scroll_sideways_with_all_details_open(look, page, width):
    seen = look(page, width=width)
    assert seen.tab.evaluate(OVERHANG) == 0
    for summary in seen.tab.locator("summary").all():
        summary.click()
    assert seen.tab.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    assert seen.tab.evaluate(OVERHANG) == 0


def test_text_in_pictures_is_as_legible_on_a_phone_as_the_small_print(look, read):
    seen = look(run_page(read), width=360)
    sizes = seen.tab.evaluate(
        "[...document.querySelectorAll('.plot text')].map(text => text.getBoundingClientRect().height)"
    )
    assert sizes and min(sizes) >= 9  # px, of the line's box


def test_pictures_turn_with_the_scheme(look, read):
    colours = []
    for scheme in ("light", "dark"):
        seen = look(run_page(read), scheme=scheme)
        colours.append(
            seen.tab.evaluate("getComputedStyle(document.querySelector('.plot text')).fill.match(/\\d+/g)")
        )
    light, dark = (sum(map(int, colour)) for colour in colours)
    assert light < 3 * 128 < dark


def test_the_keyboard_reaches_every_link_and_shows_where_it_is(look, read):
    seen = look(run_page(read))
    wanted = seen.tab.locator("a, summary").count()
    reached = set()
    for _ in range(wanted):
        seen.tab.keyboard.press("Tab")
        reached.add(seen.tab.evaluate("document.activeElement.textContent"))
        assert seen.tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert len(reached) == wanted


def roles(seen):
    """How many of each role the browser tells a screen reader of."""
    tree = seen.tab.context.new_cdp_session(seen.tab).send("Accessibility.getFullAXTree")
    return Counter(node["role"]["value"] for node in tree["nodes"] if not node["ignored"])


def test_a_screen_reader_finds_landmarks_tables_and_pictures(look, read):
    found = roles(look(run_page(read)))
    assert [found[role] for role in ("banner", "main", "navigation", "contentinfo")] == [1, 1, 1, 1]
    for role in ("table", "caption", "rowheader", "columnheader", "cell", "image", "figure", "heading"):
        assert found[role] > 3, role


def test_it_finds_the_same_on_a_phone(look, page):
    """Rows are laid out as blocks there, which must not take their roles away."""
    wide, narrow = (roles(look(page, width=width)) for width in reversed(WIDTHS))
    for role in (
        "table",
        "rowgroup",
        "row",
        "rowheader",
        "columnheader",
        "cell",
        "caption",
        "image",
        "figure",
    ):
        assert wide[role] == narrow[role] > 0, role


def test_it_prints_on_white_without_the_navigation(look, read):
    seen = look(run_page(read), scheme="dark")
    seen.tab.emulate_media(media="print", color_scheme="dark")
    assert seen.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not seen.tab.locator("nav").is_visible()
    assert seen.tab.pdf(format="A4").startswith(b"%PDF")


def test_hostile_names_are_shown_as_text_and_run_nothing(look, hostile_run):
    [run] = read_runs([hostile_run])
    seen = look(run_page(run))
    assert (seen.complaints, seen.requests) == ([], [])
    assert "<script>alert(1)</script>" in seen.tab.locator("body").inner_text()
    assert seen.tab.locator("script, img").count() == 0
