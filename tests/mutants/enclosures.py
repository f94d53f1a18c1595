"""Guards of a run's processes and folder: enclosure, guardian, limits, the clean-up."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_ENCLOSURE: Final = "tests/agent/processes/test_enclosure.py"
_DISK: Final = "tests/agent/test_disk.py"


def _row(name: str, path: str, old: str, new: str, tests: str, words: str) -> Mutant:
    return Mutant(name, f"workers/agent/{path}", old, new, (tests, "-k", words))


ENCLOSURES: Final = (
    _row(
        "enclosure: the agent leaves the cgroup alone",
        "processes/guarded.py",
        "            cgroups.kill(self.cgroup)  # the script may have killed its guardian\n",
        "            pass\n",
        _ENCLOSURE,
        "although_it_kills_its_guardian",
    ),
    _row(
        "enclosure: the script stays outside its cgroup",
        "processes/guardian.py",
        '                write(guardian.cgroup + "/cgroup.procs", "0")\n',
        "                pass\n",
        _ENCLOSURE,
        "although_it_kills_its_guardian",
    ),
    _row(
        "enclosure: no process-id namespace",
        "processes/guardian.py",
        "            unshare_processes()\n",
        "            pass\n",
        _ENCLOSURE,
        "namespace",
    ),
    _row(
        "enclosure: the first process of a namespace outlives its guardian",
        "processes/guardian.py",
        '            die_with(0 if enclosure == "namespace" else own)\n',
        '            enclosure == "namespace" or die_with(own)\n',
        _ENCLOSURE,
        "namespace_dies_with_a_killed_guardian",
    ),
    _row(
        "enclosure: what a killed agent left in a cgroup stays",
        "processes/process_tree.py",
        "            cgroups.kill(folder)\n",
        "",
        _ENCLOSURE,
        "next_start_finds",
    ),
    _row(
        "enclosure: the server is not told that there is none",
        "isolation.py",
        "        if self.sandbox is not None or not (why_not := best_enclosure().why_not):\n",
        "        if why_not := '':\n            pass\n        else:\n",
        _ENCLOSURE,
        "server_is_told",
    ),
    _row(
        "enclosure: taken untried",
        "processes/enclosure.py",
        '        return Enclosure(why_not=f"{enclosure.kind}: {error}"[:200])\n',
        "        return enclosure\n",
        _ENCLOSURE,
        "does_not_hold_at_its_trial",
    ),
    _row(
        "enclosure: a user manager that ends at logout",
        "processes/enclosure.py",
        "    if not (_LINGER / user).exists():\n",
        "    if False:\n",
        _ENCLOSURE,
        "ends_at_logout",
    ),
    _row(
        "guardian: it does not adopt what detaches",
        "processes/guardian.py",
        "    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)\n",
        "",
        _ENCLOSURE,
        "all_of_a_run_dies_with_its_agent and none",
    ),
    _row(
        "guardian: it lives on without its agent",
        "processes/guardian.py",
        '            if self.next_request() != b"T":\n                return\n',
        '            if self.next_request() != b"T":\n                time.sleep(60)\n',
        _ENCLOSURE,
        "all_of_a_run_dies_with_its_agent and none",
    ),
    _row(
        "guardian: nothing is reaped while the script runs",
        "processes/guardian.py",
        "                os.read(awake, 65_536)\n            self.reap()\n",
        "                os.read(awake, 65_536)\n",
        _ENCLOSURE,
        "reaped_while_the_script_runs and none",
    ),
    _row(
        "guardian: a frozen one is waited for without end",
        "processes/guarded.py",
        "self.process.wait(seconds)\n        except",
        "self.process.wait()\n        except",
        _ENCLOSURE,
        "freezes_its_guardian",
    ),
    _row(
        "guardian: a command that cannot be started counts as ended",
        "processes/guarded.py",
        '            raise OSError(f"the script could not be started: {problem}")\n',
        "            self._pid = self.process.pid\n",
        _ENCLOSURE,
        "command_that_does_not_exist",
    ),
    _row(
        "guardian: the script stays in its session",
        "processes/guardian.py",
        "            os.setsid()\n",
        "",
        "tests/agent/running/test_execution.py",
        "leads_a_session or sigterm",
    ),
    _row(
        "kill: it goes on until nothing is left",
        "processes/process_tree.py",
        "            if time.monotonic() > end:\n                return sorted(process.pid",
        "            if False:\n                return sorted(process.pid",
        _ENCLOSURE,
        "cannot_be_killed",
    ),
    _row(
        "limits: a crash writes its memory to the disk",
        "processes/guardian.py",
        "    lower_limit(resource.RLIMIT_CORE, 0)",
        "    pass",
        _DISK,
        "core_file",
    ),
    _row(
        "limits: the agent is chosen when memory runs out",
        "processes/guardian.py",
        '        write("/proc/self/oom_score_adj", OOM_SCORE_ADJUSTMENT)\n',
        "        pass\n",
        "tests/agent/running/test_execution.py",
        "out_of_memory",
    ),
    _row(
        "disk: a link swapped in is opened",
        "disk.py",
        "    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC\n",
        "    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC\n",
        _DISK,
        "became_a_link or swapped_in",
    ),
    _row(
        "disk: a link swapped in is made accessible",
        "disk.py",
        "    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC\n",
        "    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC\n",
        _DISK,
        "swapped_in",
    ),
    _row(
        "disk: nesting hides what lies below",
        "disk.py",
        "            count.is_too_much |= len(opened) > MAX_DEPTH\n",
        "",
        _DISK,
        "nested_deeper",
    ),
    _row(
        "disk: folders are removed where they lie",
        "disk.py",
        "                _empty(root)\n",
        "                pass\n",
        _DISK,
        "nested_deeper",
    ),
)
