"""The page in a real browser: what a supervisor says is seen, what is pressed is done."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from myha.errors import MyhaError
from tests.real import browser as real_browser
from tests.real.known_pairs import Told, node, status, told_server
from tests.real.pair import Pair, running_pair
from tests.waiting import until

pytestmark = pytest.mark.real

NASTY = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
LONG = "a_table_with_a_name_that_never_ends_" * 4
UNANSWERED = re.compile(r"net::ERR_")
DEADLINE_MS = 120_000  # of whatever is waited for on a busy machine
expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with real_browser_or_skip() as one:
        yield one


@contextmanager
def real_browser_or_skip() -> Iterator[Browser]:
    try:
        running = real_browser.running()
        one = running.__enter__()
    except MyhaError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no browser: {error}")
        pytest.skip(f"no browser: {error}")
    try:
        yield one
    finally:
        running.__exit__(None, None, None)


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page in a browser of its own, which at its end has had no error and asked nobody else."""
    context = browser.new_context(**options)
    context.set_default_timeout(DEADLINE_MS)
    page = context.new_page()
    errors: list[str] = []
    elsewhere: list[str] = []

    def asked(request: Any) -> None:
        if not request.url.startswith(url):
            elsewhere.append(request.url)

    def said(message: Any) -> None:
        # That a server which has ended does not answer is logged by the browser itself.
        if message.type in ("error", "warning") and not UNANSWERED.search(message.text):
            errors.append(message.text)

    page.on("console", said)
    page.on("pageerror", lambda error: errors.append(str(error)))
    context.on("request", asked)
    try:
        page.goto(url)
        yield page
        assert errors == []
        assert elsewhere == []
    finally:
        context.close()


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """A server that says what the test tells it, of a pair `main`."""
    with told_server(tmp_path, "main") as one:
        one.tell(status("main"))
        yield one


# -- what is shown -------------------------------------------------------------------------------


def test_a_change_is_shown_as_it_is_told(browser: Browser, told: Told) -> None:
    with opened(browser, told.url) as page:
        expect(page.locator(".sentence")).to_contain_text("Both nodes are as they should be.")
        expect(page.locator(".verdict.ok")).to_be_visible()
        gone = node(contact="refusing", error="Connection refused", contact_seconds=0.1)
        refusal = {
            "verdict": "writer-dead",
            "reason": "b runs solo",
            "override": "myha failover --to b --accept-loss",
        }
        one = status("main", verdict="writer-dead", sentence="a is dead.", refusals=[refusal])
        one["nodes"]["a"] = gone
        told.tell(one)
        expect(page.locator(".verdict.bad .sentence")).to_contain_text("a is dead.")
        expect(page.locator(".facts")).to_contain_text("nobody takes writes")
        expect(page.locator(".refusal")).to_contain_text("b runs solo")
        expect(page.locator(".refusal code")).to_have_text(refusal["override"])
        expect(page.locator('[data-box="node a"]')).to_contain_text("Connection refused")
        assert page.locator(".wire.broken").count() > 0
        assert page.title() == "writer-dead · main · myha"


def test_what_servers_call_things_stays_text(browser: Browser, told: Told) -> None:
    with opened(browser, told.url) as page:
        expect(page.locator(".sentence")).to_be_visible()
        thread = {"state": "stopped", "errno": 1062, "error": NASTY}
        fenced = {"fenced": True, "membership": "fenced"}
        bad = node(version=NASTY, error=NASTY, reason=NASTY, applier=thread, **fenced)
        refusal = {"verdict": NASTY, "reason": NASTY, "override": NASTY}
        job = {"kind": NASTY, "node": NASTY, "method": NASTY, "heal": 1, "seconds": 1.0}
        job |= {"phase": NASTY, "percent": 20.0, "left_seconds": None, "text": NASTY}
        one = status("main", sentence=NASTY, refusals=[refusal], jobs=[job], running=NASTY)
        one["verdicts"].append({"name": NASTY, "sentence": NASTY})
        one["nodes"]["b"] = bad
        one["balancers"][NASTY] = {**one["balancers"]["lb1"], "answering": False, "error": NASTY}
        one["replicas"] = {NASTY: replica(node(error=NASTY))}
        told.tell(one)
        conflict = {"id": 7, "at": 1.0, "wall": 1.0, "kind": "conflict", "text": NASTY}
        conflict |= {"table": NASTY, "key": NASTY, "values": '{"id": "<i>7</i>"}'}
        for side in ("first", "second"):
            conflict |= {f"{side}_node": NASTY, f"{side}_change": "update"}
            conflict |= {
                f"{side}_before": '{"n": "<b>1</b>"}',
                f"{side}_after": '{"n": "<b>2</b>"}',
            }
        told.journal("main", conflict)
        expect(page.locator(".sentence")).to_contain_text("<img src=x")
        expect(page.locator(".conflicts summary")).to_contain_text("<img src=x")
        page.locator(".conflicts summary").click()
        expect(page.locator(".conflicts .values")).to_contain_text("<b>1</b>")
        assert page.locator("#page img, #page script, #page b > b").count() == 0
        assert page.evaluate("window.hacked") is None


def replica(of: dict[str, Any]) -> dict[str, Any]:
    more = {"verdict": "replica-healthy", "sentence": NASTY, "verdicts": [], "settled": True}
    more |= {"healthy": False, "follows": "a", "delay_seconds": 0, "running": None}
    return {**of, **more, "refusals": [], "incidents": [], "jobs": []}


def warnings(count: int) -> list[dict[str, Any]]:
    """Lines of the journal."""
    line = {"at": 1.0, "wall": 1.0, "kind": "refusal", "text": "refused", "severity": "warning"}
    return [{"id": number, **line} for number in range(1, count + 1)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Browser, told: Told, scheme: Any) -> None:
    names = [f"a_replica_{number}_with_a_long_name" for number in range(3)]
    bad = node(error=LONG, reason=LONG, fenced=True, membership="fenced")
    one = status("main", sentence=LONG, replicas={name: replica(node()) for name in names})
    one["nodes"]["b"] = bad
    one["refusals"] = [{"verdict": "x", "reason": LONG, "override": f"myha heal {LONG}"}]
    told.tell(one)
    size = {"width": 390, "height": 844}
    with opened(browser, told.url, viewport=size, color_scheme=scheme) as page:
        expect(page.locator(".sentence")).to_contain_text(LONG)
        told.journal("main", *warnings(200))
        expect(page.locator(".lines .line").nth(100)).to_be_attached()
        page.wait_for_function("document.documentElement.scrollHeight < 5000")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        dark = sum(map(int, re.findall(r"\d+", ground)[:3])) < 200
        assert dark is (scheme == "dark")
        page.get_by_role("button", name="Fence…", exact=True).click()
        expect(page.locator("dialog")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_five_hundred_pairs_on_one_page(browser: Browser, tmp_path: Path) -> None:
    names = [f"pair-{number:03d}" for number in range(500)]
    statuses = {name: status(name) for name in names}
    with told_server(tmp_path, *names) as told:
        told.tell(*statuses.values())
        with opened(browser, told.url) as page:
            expect(page.locator(".pair-line")).to_have_count(500)
            broken = status("pair-321", verdict="both-lost", sentence="Neither answers.")
            told.tell(*{**statuses, "pair-321": broken}.values())
            expect(page.locator(".pair-line").first).to_contain_text("both-lost")
            page.get_by_role("searchbox").fill("pair-32")
            expect(page.locator(".pair-line")).to_have_count(10)
            page.get_by_label("only those not healthy").check()
            expect(page.locator(".pair-line")).to_have_count(1)
            page.locator(".pair-line a").click()
            expect(page.locator(".sentence")).to_contain_text("Neither answers.")
            page.go_back()
            expect(page.get_by_role("heading", name="500 pairs")).to_be_visible()


def test_what_is_old_is_called_stale_at_once(browser: Browser, tmp_path: Path) -> None:
    with told_server(tmp_path, "main") as told:
        told.tell(status("main"))
        with opened(browser, told.url) as page:
            expect(page.locator(".fresh")).to_have_text("live")
            told.silent = True
            expect(page.locator(".fresh.stale")).to_contain_text("What you see is of")
            expect(page.get_by_role("button", name="Fence…", exact=True)).to_be_disabled()
            told.silent = False
            expect(page.locator(".fresh")).to_have_text("live")
            told.stop()
            expect(page.locator(".fresh.stale")).to_contain_text("does not answer")
            assert page.title().startswith("stale: ")


def test_everything_is_reached_by_keyboard(browser: Browser, told: Told) -> None:
    with opened(browser, told.url) as page:
        expect(page.locator(".sentence")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.locator("#skip")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#content")).to_be_focused()
        button = page.get_by_role("button", name="Switch over…")
        _tab_to(page, button)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        token = page.get_by_label("Token")
        expect(token).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).to_be_hidden()
        expect(button).to_be_focused()


def _tab_to(page: Page, wanted: Locator) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"60 times Tab do not lead to {wanted}")


def test_the_scheme_that_was_chosen_is_kept(browser: Browser, told: Told) -> None:
    with opened(browser, told.url, color_scheme="light") as page:
        page.get_by_role("button", name="Scheme: auto").click()
        page.get_by_role("button", name="Scheme: light").click()
        page.reload()
        expect(page.get_by_role("button", name="Scheme: dark")).to_be_visible()
        assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"


def test_a_pair_that_nobody_supervises_is_told_apart(browser: Browser, tmp_path: Path) -> None:
    with (
        told_server(tmp_path, "main") as told,
        opened(browser, told.url) as page,
    ):
        expect(page.locator(".verdict.bad")).to_contain_text("no supervisor")
        told.tell(status("main"))
        expect(page.locator(".verdict.ok")).to_be_visible()


# -- its pure parts ------------------------------------------------------------------------------


FORMS = {
    "myha failover --to b --accept-loss": ("failover", {"to": "b", "accept_loss": True}),
    "myha unfence b --pair shop": ("unfence", {"node": "b"}),
    "myha heal r1 --method reseed": ("heal", {"node": "r1", "method": "reseed"}),
    "myha maintenance off": ("maintenance", {"state": "off"}),
    "myha switchover --to b --max-outage 3": ("switchover", {"to": "b", "max_outage_seconds": "3"}),
    "myha repair --from a": None,
    "rm -rf /": None,
}


@pytest.mark.parametrize("command", FORMS)
def test_a_command_that_overrides_has_its_form(files: Page, command: str) -> None:
    found = files.evaluate(
        "text => import('./requests.js').then((module) => module.formOf(text))", command
    )
    assert (found and (found["name"], found["values"])) == FORMS[command]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("duration(0.214)", "0.21 s"),
        ("duration(184)", "3 min 4 s"),
        ("duration(190800)", "2 d 5 h"),
        ("duration(null)", "?"),
        ("milliseconds(61.3)", "61 ms"),
        ("milliseconds(1129)", "1.1 s"),
        ("cell(null)", "NULL"),
    ],
)
def test_numbers_as_text(files: Page, call: str, text: str) -> None:
    assert files.evaluate(f"import('./format.js').then((found) => found.{call})") == text


@pytest.fixture(scope="module")
def files(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page from which the modules can be imported."""
    with (
        told_server(tmp_path_factory.mktemp("files"), "main") as one,
        opened(browser, one.url) as page,
    ):
        yield page


# -- in front of a real pair ---------------------------------------------------------------------


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with running_pair(flavour=request.param, api=True) as one:
        yield one


def url_of(pair: Pair) -> str:
    """Where its supervisor answers HTTP, once it does."""
    return str(until(lambda: pair.status()["url"], "an address of the page"))


def test_a_failover_happens_in_front_of_it(browser: Browser, pair: Pair) -> None:
    before = pair.await_healthy()["writer"]
    after = "b" if before == "a" else "a"
    with opened(browser, url_of(pair)) as page:
        expect(page.locator(f'[data-box="node {before}"] .chip')).to_contain_text("writer")
        # A line that is level has no height, and is called hidden.
        expect(page.locator(".plot .series").first).to_have_attribute("d", re.compile("M"))
        pair.cluster.servers[before].kill()
        expect(page.locator(f'[data-box="node {after}"] .chip')).to_contain_text("writer")
        expect(page.locator('.wire[class*="write on"]')).to_have_count(1)
        newest = page.locator(".timeline").first
        expect(newest).to_contain_text(f"fail over from {before} to {after}")
        for phase in ("recorded", "cut", "applied", "opened", "routed"):
            expect(newest.locator("tbody th", has_text=phase).first).to_be_visible()
        expect(page.locator(".journal")).to_contain_text(f"The writer {before} is dead")
        pair.cluster.servers[before].start(90)
        expect(page.locator(".verdict.ok .sentence")).to_contain_text("Both nodes")
        expect(page.locator(f'[data-box="node {before}"] .chip')).to_contain_text("standby")


def test_a_switchover_by_keyboard_with_plan_and_question(browser: Browser, pair: Pair) -> None:
    before = pair.await_healthy()["writer"]
    after = "b" if before == "a" else "a"
    token = pair.myha("api", "token", "add", f"page-{before}", "--role", "operate")
    assert token.returncode == 0, token.stderr
    with opened(browser, url_of(pair)) as page:
        _tab_to(page, page.get_by_role("button", name="Switch over…"))
        page.keyboard.press("Enter")
        page.keyboard.type(re.findall(r"myha_\S+", token.stdout)[0])
        page.keyboard.press("Enter")
        expect(page.locator(".plan")).to_contain_text(f"switch over from {before} to {after}")
        assert pair.status()["writer"] == before
        _tab_to(page, page.locator("dialog button.primary"))
        page.keyboard.press("Enter")
        expect(page.locator(".done")).to_contain_text("done")
        page.keyboard.press("Escape")
        expect(page.locator(f'[data-box="node {after}"] .chip')).to_contain_text("writer")
        assert page.evaluate("Object.keys(localStorage)") == []
    pair.await_healthy(after)


def test_a_supervisor_that_has_ended_is_missed_at_once(browser: Browser, pair: Pair) -> None:
    pair.await_healthy()
    with opened(browser, url_of(pair)) as page:
        expect(page.locator(".fresh")).to_have_text("live")
        pair.cluster.supervisor.kill()
        expect(page.locator(".fresh.stale")).to_be_visible()
        pair.cluster.start_supervisor()
        expect(page.locator(".fresh")).to_have_text("live")
        expect(page.locator(".verdict.ok")).to_be_visible()
