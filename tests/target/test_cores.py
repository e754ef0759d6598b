"""Which cores count: hardware threads once, affinity and quotas of control groups respected."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from target.device.cores import usable_cores

ROOT = Path(__file__).parents[2]
CPUS = sorted(os.sched_getaffinity(0))


@pytest.fixture
def machine(tmp_path):
    """A machine on which each CPU of this process is a core of its own, without a quota."""
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    for cpu in CPUS:
        write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list", f"{cpu},{cpu + 512}\n")
    return tmp_path


def write(machine, path, text):
    (machine / path).parent.mkdir(parents=True, exist_ok=True)
    (machine / path).write_text(text)


def test_each_core_counts(machine):
    assert usable_cores(machine) == len(CPUS)


@pytest.mark.parametrize("name", ["core_cpus_list", "thread_siblings_list"])
def test_hardware_threads_of_one_core_count_once(machine, name):
    for cpu in CPUS:
        (machine / f"sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list").unlink()
        write(machine, f"sys/devices/system/cpu/cpu{cpu}/topology/{name}", f"{CPUS[0]}-{CPUS[-1]}\n")

    assert usable_cores(machine) == 1


def test_a_kernel_that_says_nothing_has_a_core_for_each_cpu(tmp_path):
    assert usable_cores(tmp_path) == len(CPUS)


def test_affinity_counts():
    asked = "import os, target.device.cores; os.sched_setaffinity(0, {%d}); print(target.device.cores.usable_cores())"
    done = subprocess.run(
        [sys.executable, "-c", asked % CPUS[-1]], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "1\n"


@pytest.mark.parametrize("quota", ["100000 100000", "150000 100000", "20000 100000"])
@pytest.mark.parametrize("place", ["", "pod/container/", "pod/"])
def test_a_quota_of_the_own_group_or_one_around_it_counts(machine, quota, place):
    write(machine, "proc/self/cgroup", "0::/pod/container\n")
    write(machine, "sys/fs/cgroup/pod/container/cpu.max", "max 100000\n")
    write(machine, f"sys/fs/cgroup/{place}cpu.max", f"{quota}\n")

    assert usable_cores(machine) == 1


def test_a_quota_of_the_first_version_counts(machine):
    write(machine, "proc/self/cgroup", "5:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n0::/\n")  # path of the host
    write(machine, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n")
    write(machine, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")

    assert usable_cores(machine) == 1


@pytest.mark.parametrize("text", ["max 100000\n", "", "9900000 100000\n"])
def test_no_quota_or_a_wide_one_changes_nothing(machine, text):
    write(machine, "sys/fs/cgroup/cpu.max", text)
    write(machine, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write(machine, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    write(machine, "proc/self/cgroup", "4:cpu:/\n0::/\n")

    assert usable_cores(machine) == len(CPUS)


def test_the_groups_of_others_do_not_count(machine):
    write(machine, "proc/self/cgroup", "0::/../../pod\n")
    write(machine, "sys/fs/cgroup/other/cpu.max", "100000 100000\n")

    assert usable_cores(machine) == len(CPUS)
