"""The conditions of a measurement, read from files as Linux writes them."""

from recycle_pipeline.evaluators.conditions import conditions


def write(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_flags_clocks_and_limits_are_read(tmp_path):
    write(tmp_path, proc__cpuinfo="model name\t: X\nflags\t\t: fpu avx2 avx512_vnni hypervisor\n")
    cpu = tmp_path / "sys/devices/system/cpu"
    write(cpu, cpu0__cpufreq__scaling_governor="powersave\n", intel_pstate__no_turbo="1\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("150000 100000\n")
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("1073741824\n")
    found = conditions(tmp_path)
    assert found.cpu_flags == ("avx2", "avx512_vnni", "hypervisor")
    assert (found.governor, found.boost, found.cpu_quota, found.memory_limit) == (
        "powersave",
        False,
        1.5,
        2**30,
    )


def test_what_the_system_does_not_tell_is_none(tmp_path):
    found = conditions(tmp_path)
    assert (found.cpu_flags, found.governor, found.boost, found.cpu_quota) == ((), None, None, None)


def test_no_limit_is_none(tmp_path):
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("max 100000\n")
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert (conditions(tmp_path).cpu_quota, conditions(tmp_path).memory_limit) == (None, None)


def test_the_flags_of_arm_have_another_name(tmp_path):
    write(tmp_path, proc__cpuinfo="Features\t: fp asimd asimddp\n")
    assert conditions(tmp_path).cpu_flags == ("asimd", "asimddp")


def test_variables_that_change_threads_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert conditions(tmp_path).variables["OMP_NUM_THREADS"] == "3"
