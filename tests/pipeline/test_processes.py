"""The command in two processes: one folder, one voice, one exit code, whoever fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.device import device_among
from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.processes import Ranks, check_processes, ranks_here, speaks
from recycle_pipeline.pipeline.run_folder import RunFolder

SECONDS = 120
LINE = (
    "search",
    "--arch",
    "conv2",
    "--width",
    "0.25",
    "--epochs",
    "2",
    "--batch-size",
    "256",
    "--device",
    "cpu",
)
# What each process does, by scenario; each in a folder of its own with the data beside it.
WORKS = {
    "plain": "main(line)",
    "again": "os.chdir('../plain'); main(line)",
    "other data": """
    from recycle_pipeline.pipeline.data.image_set import ImageSet
    if rank:
        ImageSet.digest = lambda self: "another"
    main(line)""",
    "first fails": """
    import recycle_pipeline.exporters.ticket.writer as writer
    from recycle_pipeline.models.errors import CorruptArtefact
    def refuse(*arguments):
        raise CorruptArtefact("no good")
    if rank == 0:
        writer.write_ticket = refuse
    main([*line, "--quiet"])""",
    "second fails": """
    from recycle_pipeline.models.errors import UsageFault
    from recycle_pipeline.pipeline.search.distributed import World
    def refuse(*arguments):
        raise UsageFault("no luck")
    if rank == 1:
        World.level = refuse
    main([*line, "--quiet"])""",
    "second is killed": """
    from recycle_pipeline.pipeline.search.distributed import World
    if rank == 1:
        World.level = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
    main([*line, "--quiet"])""",
    "interrupted": """
    from recycle_pipeline.pipeline.search.checkpoints import Checkpoints
    take = Checkpoints.take
    def and_stop(self, *arguments):
        take(self, *arguments)
        self._end_write()
        raise KeyboardInterrupt
    Checkpoints.take = and_stop
    main([*line, "--quiet"])""",
    "resumed": "os.chdir('../interrupted'); main(line)",
    "slow disk": """
    import time
    from recycle_pipeline.pipeline.search import checkpoints, loop
    write = checkpoints.write_checkpoint
    checkpoints.write_checkpoint = lambda *arguments: (time.sleep(1), write(*arguments))
    checkpoints.PATIENCE, loop.TOGETHER_SECONDS = 0.2, 0.1
    main(line)""",
    "usage": "main([*line, '--epochs', '0'])",
}
SCENARIOS = """
import json, os, signal, sys
from several import fork
from recycle_pipeline.pipeline import together
from recycle_pipeline.pipeline.cli import main
from recycle_pipeline.pipeline.data import load
load("digits")
together.GRACE_SECONDS, together.PRINTING_SECONDS = 2.0, 0.5
line, results, terminal = sys.argv[2:], {}, os.dup(1)
for name, text in json.loads(sys.argv[1]).items():
    os.makedirs(name)
    os.chdir(name)
    for number, file in ((1, "out"), (2, "err")):
        os.dup2(os.open("../" + name + "." + file, os.O_WRONLY | os.O_CREAT), number)
    exec("def work(rank):\\n    " + text.lstrip())
    results[name] = fork(work)
    os.chdir("..")
os.write(terminal, json.dumps(results).encode())
"""


@pytest.fixture(scope="module")
def environment(import_path):
    path = os.pathsep.join([import_path["PYTHONPATH"], str(Path(__file__).parent)])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture(scope="module")
def outcomes(environment, tmp_path_factory):
    """The folder of all scenarios, run by one process, which imports torch once; and exit codes by name."""
    root = tmp_path_factory.mktemp("scenarios")
    command = [sys.executable, "-c", SCENARIOS, json.dumps(WORKS), *LINE, "--output-dir", "mine"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout)


@pytest.fixture
def outcome(outcomes):
    """Exit codes, stdout and stderr of a scenario."""

    def find(name):
        root, codes = outcomes
        return codes[name], (root / f"{name}.out").read_text(), (root / f"{name}.err").read_text()

    return find


def test_under_torchrun_one_clean_folder_results_and_the_others_are_silent(environment, tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, "-m", "recycle_pipeline.pipeline", *LINE, "--output-dir", "mine"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run folder") == 1 and done.stderr.count("epoch 2/2") == 1
    assert "destroy_process_group" not in done.stderr  # torch complains of what is not closed
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert names == {"config.toml", "manifest.json", "metrics.jsonl", "search.safetensors"}
    entry = read_manifest(RunFolder(tmp_path / "mine").manifest).stages["search"]
    assert (entry.facts["processes"], entry.facts["global_batch_size"]) == (2, 512)
    assert entry.config["processes"] == 2
    assert entry.config["learning_rate"] == RunConfig(arch="conv2", batch_size=512).resolve().learning_rate
    assert len((tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_finished_search_is_skipped_by_both(outcome):
    assert outcome("plain")[0] == [0, 0]
    codes, out, err = outcome("again")
    assert (codes, err, out.count("run folder")) == ([0, 0], "search  unchanged, skipped\n", 1)


def test_it_is_another_run_than_that_of_one_process(outcome, outcomes, command):
    done = command(*LINE, "--output-dir", outcomes[0] / "plain" / "mine")
    assert done.code == 2 and "processes 2 there, None asked" in done.err


def test_other_data_in_one_process_end_both_with_its_exit_code(outcome):
    codes, out, err = outcome("other data")
    assert (codes, out) == ([2, 2], "")
    assert err.count("Error: ") == 1 and "Traceback" not in err
    assert "Error: process 1: this process has other settings, data, sources of --arch" in err


def test_a_failure_of_the_first_process_ends_both_with_its_exit_code(outcome):
    assert outcome("first fails") == ([6, 6], "", "Error: no good\n")


def test_a_failure_of_another_process_ends_both_with_its_exit_code(outcome):
    assert outcome("second fails") == ([2, 2], "", "Error: process 1: no luck\n")


def test_a_process_that_is_killed_ends_the_other(outcome):
    codes, out, err = outcome("second is killed")
    assert (codes, out) == ([1, -9], "")
    assert err.startswith("Error: the connection to another process broke (") and err.count("\n") == 1


def test_the_second_waits_with_the_first_for_its_disk_and_ends_with_the_same(outcome, outcomes):
    """Ten meetings a write: none lasts longer than the connection allows."""
    codes, _, err = outcome("slow disk")
    assert codes == [0, 0] and err.count("the disk takes longer for a checkpoint") == 1
    plain, slow = (outcomes[0] / name / "mine" / "search.safetensors" for name in ("plain", "slow disk"))
    assert plain.read_bytes() == slow.read_bytes()


def test_both_go_on_from_the_checkpoint_of_the_first_to_the_same_bytes(outcome, outcomes):
    codes, _, err = outcome("interrupted")
    assert codes == [130, 130] and err.strip().startswith("Interrupted. ")
    codes, _, err = outcome("resumed")
    assert codes == [0, 0] and "continues after epoch 1 of 2" in err
    found = [
        (outcomes[0] / name / "mine" / "search.safetensors").read_bytes() for name in ("plain", "interrupted")
    ]
    assert found[0] == found[1]


def test_a_bad_option_is_told_once(outcome):
    codes, out, err = outcome("usage")
    assert (codes, out) == ([2, 2], "") and err.count("--epochs 0") == 1


@pytest.mark.parametrize(
    ("environment", "ranks"),
    [
        ({}, Ranks()),
        ({"RANK": "1", "WORLD_SIZE": "2"}, Ranks()),
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, Ranks()),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}, Ranks(5, 8, 1, 4)),
    ],
    ids=str,
)
def test_ranks_come_from_torchruns_environment(environment, ranks):
    assert ranks_here(environment) == ranks


@pytest.mark.parametrize("rank", ["x", "2", "-1"])
def test_an_environment_that_contradicts_itself_is_refused(rank):
    with pytest.raises(UsageFault, match=rf"^RANK='{rank}', WORLD_SIZE='2', .*: expected what torchrun sets"):
        ranks_here({"RANK": rank, "WORLD_SIZE": "2", "LOCAL_RANK": "0"})


def test_one_process_on_each_machine_tells_of_errors():
    def among(rank, local):
        return {"RANK": str(rank), "WORLD_SIZE": "4", "LOCAL_RANK": str(local)}

    assert [speaks(among(rank, rank % 2)) for rank in range(4)] == [True, False, True, False]
    assert speaks({})


def test_a_number_of_processes_that_were_not_started_is_refused_with_how_to_start_them(command):
    assert check_processes(2, Ranks(0, 2)) == check_processes(None, Ranks(0, 2)) == 2
    assert check_processes(1, Ranks()) is check_processes(None, Ranks()) is None
    outcome = command("search", "--processes", "2")
    assert outcome.code == 2 and "torchrun --nproc-per-node 2 -m recycle_pipeline.pipeline" in outcome.err
    with pytest.raises(
        UsageFault, match=r"^--processes 1, but this is a run of 2 processes: start it without"
    ):
        check_processes(1, Ranks(0, 2))


def test_the_usual_learning_rate_follows_the_batch_of_all_processes():
    def rate(**given):
        return RunConfig(data="cifar10", **given).resolve().learning_rate

    assert rate(processes=4, batch_size=64) == rate(batch_size=256) == 0.1
    assert rate(processes=4, learning_rate=0.03) == 0.03


@pytest.mark.parametrize(
    ("count", "name", "ranks", "expected"),
    [
        (0, "auto", Ranks(1, 2, 1, 2), ("cpu", False)),
        (2, "cpu", Ranks(1, 2, 1, 2), ("cpu", False)),
        (2, "auto", Ranks(1, 2, 1, 2), ("cuda:1", True)),
        (2, "cuda", Ranks(3, 4, 1, 2), ("cuda:1", True)),
        (1, "auto", Ranks(1, 2, 1, 2), ("cuda:0", False)),
        (2, "cuda:1", Ranks(0, 2, 0, 2), ("cuda:1", False)),
        (2, "cuda:1", Ranks(1, 2, 0, 1), ("cuda:1", True)),
    ],
    ids=str,
)
def test_processes_take_the_gpus_of_their_machine_in_turn(monkeypatch, count, name, ranks, expected):
    monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    device, own = device_among(name, ranks)
    assert (str(device), own) == expected


ENDS = """
import atexit, sys, threading, time, types
from recycle_pipeline.pipeline.processes import end
class Library:
    def __del__(self):
        print("library", flush=True)
library = Library()
used = USED
if used is not None:
    cuda = types.SimpleNamespace(is_initialized=lambda: used)
    sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)
atexit.register(lambda: print("handler"))
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
end(3)
sys.exit(4)
"""


@pytest.mark.parametrize(
    ("used", "code", "printed"),
    [
        (True, 3, ["thread", "handler"]),
        (False, 4, ["thread", "handler", "library"]),
        (None, 4, ["thread", "handler", "library"]),
    ],
    ids=["CUDA was used", "it was not", "torch was not imported"],
)
def test_a_process_ends_in_order_but_for_the_libraries_of_cuda(environment, used, code, printed):
    line = [sys.executable, "-c", ENDS.replace("USED", str(used))]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (code, printed), done.stderr


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("how", ["sys.STREAM.close()", "sys.STREAM = None"])
def test_a_process_with_a_stream_closed_keeps_its_code(environment, stream, how):
    how = how.replace("STREAM", stream)
    code = ENDS.replace("USED", "True").replace("end(3)", f"{how}; end(3)")
    code = code.replace('print("handler")', "None").replace('print("thread")', "None")
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 3


def test_an_interruption_at_its_very_end_is_left_to_python(environment):
    """Python waits for threads once more then, and reports what interrupts it; the code stays."""
    code = ENDS.replace("USED", "True").replace("end(3)", "threading._shutdown = interrupted; end(3)")
    code = "def interrupted():\n    raise KeyboardInterrupt\n" + code
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 4 and "handler" in done.stdout, done.stderr


LEAVES = """
import sys, types
from recycle_pipeline.pipeline import cli
if USED:
    cuda = types.SimpleNamespace(is_initialized=lambda: True)
    sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)
def main():
    print("told")
    LEAVE
cli.main = main
cli.process()
"""


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize(
    ("leave", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(5)", 5),
        ("sys.exit()", 0),
        ("sys.exit('why')", 1),
        ("pass", 0),
        ("raise ValueError", 1),
    ],
)
def test_a_process_leaves_with_the_code_of_its_command(environment, used, leave, code):
    line = [sys.executable, "-c", LEAVES.replace("USED", str(used)).replace("LEAVE", leave)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, "told\n"), done.stderr


def test_a_command_that_is_refused_exits_with_2_as_a_process(environment, tmp_path):
    line = [sys.executable, "-m", "recycle_pipeline.pipeline", "search", "--epochs", "0"]
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
