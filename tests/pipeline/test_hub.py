"""Tickets on the Hugging Face Hub, by the real huggingface_hub: from its cache, and from a server beside it.

No test reaches the Hub: each has a cache of its own, and either HF_HUB_OFFLINE or another HF_ENDPOINT.
"""

import json
import os
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.hub import HubTicket, parse

pytest.importorskip("huggingface_hub")

COMMIT, OLDER = "a" * 40, "b" * 40
SECRET = "hf_" + "S3cret" * 6
CALL = "from recycle_pipeline.pipeline.cli import main; main()"


@pytest.fixture
def cache(here, monkeypatch):
    """An empty cache, offline, and a token in the environment; returns a function that adds to the cache."""
    monkeypatch.setenv("HF_HOME", str(here / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("HF_TOKEN", SECRET)

    def add(files, repo="me/net", commit=COMMIT, ref="main"):
        """Lays files out as huggingface_hub does: content in blobs, links in snapshots, a commit in refs."""
        root = here / "hf" / "hub" / f"models--{repo.replace('/', '--')}"
        for name, content in files.items():
            blob, link = root / "blobs" / f"{abs(hash(content)):x}", root / "snapshots" / commit / name
            for path in (blob, link):
                path.parent.mkdir(parents=True, exist_ok=True)
            blob.write_bytes(content)
            link.symlink_to(os.path.relpath(blob, link.parent))
        (root / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (root / "refs" / ref).write_text(commit)

    return add


@pytest.fixture
def call(start):
    """Runs the command as a process of its own: (exit code, stdout, stderr), of which none has the token."""

    def run(*arguments):
        process = start(*arguments, script=CALL)
        out, err = process.communicate(timeout=120)
        assert SECRET not in out + err and "Traceback" not in err
        return process.returncode, out, err

    return run


@pytest.fixture
def ticket(finished):
    return finished.ticket.read_bytes()


def test_reconstruct_takes_the_ticket_of_a_run_folder_that_was_uploaded(call, cache, ticket, finished, here):
    cache(
        {"ticket.safetensors": ticket, "search.safetensors": b"x", "README.md": b"#", "onnx/model.onnx": b"y"}
    )
    code, out, err = call("reconstruct", "hf://me/net", "--output", "x.safetensors")
    assert (code, err) == (0, "") and "5 tensors rebuilt from seed 0, all equal" in out
    assert (here / "x.safetensors").is_file()


def test_inspect_and_compare_take_it_too(call, cache, ticket, finished):
    cache({"ticket.safetensors": ticket})
    code, out, _ = call("inspect", "hf://me/net", "--json")
    assert code == 0 and json.loads(out)["arch"] == "conv2"
    code, out, _ = call("compare", "hf://me/net", str(finished.ticket), "--json")
    assert code == 0 and json.loads(out)["total"]["weights_equal"]


def test_python_takes_it_too(start, cache, ticket):
    cache({"ticket.safetensors": ticket})
    script = "from recycle_pipeline.pipeline import reconstruct; print(len(reconstruct('hf://me/net')))"
    out, err = start(script=script).communicate(timeout=120)
    assert (out, err) == ("11\n", "")


@pytest.mark.parametrize("name", ["hf://me/net@v1", f"hf://me/net@{OLDER}", "hf://me/net@refs/pr/2"])
def test_a_revision_is_a_tag_a_commit_or_a_pull_request(call, cache, ticket, name):
    cache({"ticket.safetensors": b"not a ticket"})
    for ref in ("v1", "refs/pr/2"):
        cache({"ticket.safetensors": ticket} if ref == "v1" else {}, commit=OLDER, ref=ref)
    assert call("reconstruct", name)[0] == 0
    assert call("reconstruct", "hf://me/net")[0] == 6  # the default branch has another file


@pytest.mark.parametrize(
    "name", ["hf://me/net/runs/b/ticket.safetensors", "hf://me/net/runs/b", "hf://me/net/runs/b/"]
)
def test_a_file_or_a_folder_in_the_repository_can_be_named(call, cache, ticket, name):
    cache({"runs/a/ticket.safetensors": b"x", "runs/b/ticket.safetensors": ticket})
    assert call("reconstruct", name)[0] == 0


def test_the_only_file_of_the_kind_is_the_ticket_whatever_its_name(call, cache, ticket):
    cache({"mnist-90.safetensors": ticket, "README.md": b"#"})
    assert call("reconstruct", "hf://me/net")[0] == 0


def test_several_tickets_are_refused_by_name_and_the_name_that_is_shown_works(call, cache, ticket):
    cache({"a/ticket.safetensors": ticket, "b/ticket.safetensors": ticket, "c.safetensors": b"x"})
    code, out, err = call("reconstruct", "hf://me/net")
    assert (code, out) == (2, "")
    assert err == (
        "Error: hf://me/net has several: a/ticket.safetensors, b/ticket.safetensors; name the one you mean, "
        "such as hf://me/net/a/ticket.safetensors\n"
    )
    assert call("reconstruct", "hf://me/net/a/ticket.safetensors")[0] == 0


def test_a_repository_without_a_ticket_is_refused(call, cache):
    cache({"README.md": b"#"})
    code, _, err = call("inspect", "hf://me/net")
    assert code == 2 and "hf://me/net has no .safetensors file, so no ticket" in err


@pytest.mark.parametrize(
    "name", ["hf://me/other", "hf://me/net@v2", "hf://me/net/a.safetensors", f"hf://me/net@{OLDER}"]
)
def test_offline_what_the_cache_lacks_is_exit_1_and_says_both(call, cache, ticket, name, here):
    cache({"ticket.safetensors": ticket})
    code, out, err = call("reconstruct", name)
    assert (code, out) == (1, "")
    assert err == (
        f"Error: {name}: HF_HUB_OFFLINE is set, and the cache in {here}/hf/hub does not have it; connect, or "
        "give the path of a file\n"
    )


def test_offline_without_any_cache(call, cache):
    assert call("reconstruct", "hf://me/net")[0] == 1


def test_a_damaged_ticket_in_the_cache_is_exit_6(call, cache, ticket):
    cache({"ticket.safetensors": ticket[:-20]})
    assert call("reconstruct", "hf://me/net")[0] == 6


def test_a_bad_output_is_refused_before_anything_is_fetched(call, cache):
    code, _, err = call("reconstruct", "hf://me/net", "--output", "x.txt")
    assert code == 2 and "--output x.txt: expected a name that ends in" in err


def test_without_the_package_the_command_to_install_it_is_said(command, monkeypatch):
    monkeypatch.setattr("recycle_pipeline.pipeline.hub.installed_version", lambda name: None)
    for line in (["reconstruct"], ["inspect"], ["compare", "x"]):
        outcome = command(*line, "hf://me/net")
        assert outcome.code in (8, 2) and (line[0] == "compare" or outcome.code == 8)
    outcome = command("inspect", "hf://me/net")
    assert outcome.err.startswith(
        "Error: hf://me/net needs the package huggingface_hub, which is not installed"
    )
    assert "pip install 'recycle-pipeline[hub]'" in outcome.err


GOOD = {
    "hf://me/net": HubTicket("me/net"),
    "hf://me/net@v1": HubTicket("me/net", "v1"),
    "hf://me/net@feature%2Fx": HubTicket("me/net", "feature/x"),
    "hf://me/net@refs/pr/3/a/b.safetensors": HubTicket("me/net", "refs/pr/3", "a/b.safetensors"),
    "hf://me/n.e-t_1/x.safetensors": HubTicket("me/n.e-t_1", None, "x.safetensors"),
}


@pytest.mark.parametrize("text", GOOD)
def test_a_name_is_taken_apart(text):
    assert parse(text) == GOOD[text]
    assert parse(str(GOOD[text]).replace("feature/x", "feature%2Fx")) == GOOD[text]


@pytest.mark.parametrize(
    "text",
    [
        *("hf://", "hf://net", "hf:///net", "hf://me/", "hf://me/net@", "hf://me/net/", "hf://me/net@v1@v2"),
        *(
            "hf://me/net/../../x",
            "hf://datasets/me/net",
            "hf://spaces/me/net",
            "hf://me/n et",
            "hf://me\n/net",
        ),
    ],
)
def test_another_form_is_refused(text):
    with pytest.raises(UsageFault, match="is not a ticket on the Hub: expected hf://owner/name"):
        parse(text)


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub's interface as fetching one file takes; `answers` has what goes wrong."""

    files: ClassVar[dict[str, bytes]]
    refusal: ClassVar[tuple[int, str] | None]
    seen: ClassVar[list[str]]

    def do_GET(self):
        self.answer(body=True)

    def do_HEAD(self):
        self.answer(body=False)

    def answer(self, body):
        self.seen.append(self.headers.get("Authorization", ""))
        name = self.path.partition("?")[0].rpartition("/resolve/main/")[2]
        if self.refusal:
            self.reply(
                self.refusal[0], b"", {"X-Error-Code": self.refusal[1]} if self.refusal[1] else {}, body
            )
        elif self.path.startswith("/api/models/me/net/tree/"):
            tree = [
                {"type": "file", "path": n, "size": len(c), "oid": "0" * 40} for n, c in self.files.items()
            ]
            self.reply(200, json.dumps(tree).encode(), {"Content-Type": "application/json"}, body)
        elif self.path.startswith("/api/models/me/net"):
            siblings = [{"rfilename": n} for n in self.files]
            info = {"id": "me/net", "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
            self.reply(200, json.dumps(info).encode(), {"Content-Type": "application/json"}, body)
        elif name in self.files:
            etag = {"ETag": f'"{abs(hash(self.files[name])):x}"', "X-Repo-Commit": COMMIT}
            self.reply(200, self.files[name], etag, body)
        else:
            self.reply(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, body)

    def reply(self, status, content, headers, body):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(cache, monkeypatch):
    """A server beside the tests in place of the Hub."""
    handler = type("Own", (Hub,), {"files": {}, "refusal": None, "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    yield handler
    server.shutdown()
    server.server_close()


def test_a_ticket_is_fetched_once_and_then_read_from_the_cache(call, hub, ticket, monkeypatch):
    hub.files = {"README.md": b"#", "ticket.safetensors": ticket}
    assert call("reconstruct", "hf://me/net")[0] == 0
    assert f"Bearer {SECRET}" in hub.seen  # the user's token goes to the server, and nowhere else: see `call`
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert call("reconstruct", "hf://me/net")[0] == 0
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert call("reconstruct", "hf://me/net")[0] == 0


@pytest.fixture
def hangs_up(cache, monkeypatch):
    """Something that hangs up in place of the Hub; returns who called."""
    callers = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            callers.append(self.client_address)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    yield callers
    server.shutdown()
    server.server_close()


def test_nobody_to_reach_and_nothing_in_the_cache_is_exit_1(call, cache, monkeypatch, here):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, out, err = call("reconstruct", "hf://me/net")
    assert (code, out) == (1, "")
    assert err == (
        f"Error: hf://me/net: the Hub cannot be reached, and the cache in {here}/hf/hub does not have it; "
        "connect, or give the path of a file\n"
    )


def test_a_hub_that_hangs_up_is_asked_once_and_the_cache_serves_what_it_has(call, cache, ticket, hangs_up):
    assert call("inspect", "hf://me/net")[0] == 1
    assert len(hangs_up) == 1  # left alone, huggingface_hub goes on for half a minute
    cache({"ticket.safetensors": ticket})
    assert call("inspect", "hf://me/net")[0] == 0
    assert len(hangs_up) == 2
    assert call("inspect", f"hf://me/net@{COMMIT}")[0] == 0
    assert len(hangs_up) == 2  # what a commit has does not change


ANSWERS = {
    "no repository": ((404, "RepoNotFound"), 2, "no such model repository, or it is private"),
    "not for this token": ((401, ""), 2, "no such model repository, or it is private"),
    "no revision": ((404, "RevisionNotFound"), 2, "the repository has no revision"),
    "gated": ((403, "GatedRepo"), 2, "is gated: ask for access"),
    "a fault": ((418, ""), 1, "the Hub answered 418"),
}


@pytest.mark.parametrize(("refusal", "expected", "words"), ANSWERS.values(), ids=ANSWERS)
def test_what_the_hub_refuses_is_said_with_its_exit_code(call, hub, refusal, expected, words):
    hub.refusal = refusal
    for name in ("hf://me/net", "hf://me/net@v7/x.safetensors"):  # listed, and asked for
        code, out, err = call("inspect", name)
        assert (code, out) == (expected, "") and f"Error: {name}" in err and words in err


def test_what_is_there_is_listed_where_no_ticket_bears_the_usual_name(call, hub, ticket):
    hub.files = {"README.md": b"#", "net.safetensors": ticket}
    assert call("reconstruct", "hf://me/net")[0] == 0
    hub.files["other.safetensors"] = ticket
    code, _, err = call("reconstruct", "hf://me/net")
    assert code == 2 and "has several: net.safetensors, other.safetensors" in err


def test_a_file_that_the_repository_does_not_have_is_exit_2(call, hub, ticket):
    hub.files = {"ticket.safetensors": ticket}
    code, _, err = call("inspect", "hf://me/net/x.safetensors")
    assert code == 2 and "the repository has no such file" in err
