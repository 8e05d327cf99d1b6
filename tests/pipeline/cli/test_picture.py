"""`inspect --picture`: the file, what is said of it, and JSON that stays JSON alone."""

import json

from recycle_pipeline.pipeline.wording import size


def test_a_picture_is_written_and_its_size_said(command, run_copy, here):
    plain = command("inspect", "mine").out
    outcome = command("inspect", "mine", "--picture", "density.png")
    assert (outcome.code, outcome.err) == (0, "")
    written = here / "density.png"
    assert written.read_bytes().startswith(b"\x89PNG") and written.stat().st_size < 300_000
    assert outcome.out == f"{plain}density.png: {size(written.stat().st_size)}\n"


def test_with_json_the_picture_is_written_without_a_word(command, run_copy, here):
    outcome = command("inspect", "mine", "--picture", "density.png", "--json")
    assert (outcome.code, outcome.err) == (0, "") and json.loads(outcome.out)["arch"] == "conv2"
    assert (here / "density.png").exists()


def test_of_a_ticket_that_is_damaged_or_not_there_no_picture_is_left(command, run_copy, tree):
    ticket = run_copy / "ticket.safetensors"
    ticket.write_bytes(ticket.read_bytes()[:-1])
    before = tree()
    assert command("inspect", "mine", "--picture", "p.png").code == 6
    assert command("inspect", "nowhere", "--picture", "p.png").code == 2
    assert tree() == before
