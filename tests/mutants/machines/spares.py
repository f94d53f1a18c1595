"""Guards of spares and of tasks that are claimed ahead."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_SPARES: Final = "tests/agent/running/test_spares.py"
_WARM: Final = "tests/agent/tasks/test_warm.py"
_PLACES: Final = "tests/agent/test_places.py"

SPARES: Final = (
    Mutant(
        "spare: a changed torch stays in use",
        "workers/agent/running/spare.py",
        "            and _state_of(self._torch_file) == self._torch_state\n",
        "",
        (_SPARES, "-k", "change_of_what"),
    ),
    Mutant(
        "spare: what a neighbour left in its folder goes to the task",
        "workers/agent/running/spare.py",
        "            and not any(self.folder.iterdir())",
        "            and self.folder.exists()",
        (_SPARES, "-k", "change_of_what"),
    ),
    Mutant(
        "spare: it gets a link to the data set",
        "workers/agent/tasks/warm.py",
        "    shutil.copyfile(data, copy)\n",
        "    copy.hardlink_to(data)\n",
        (_SPARES, "-k", "finds_itself"),
    ),
    Mutant(
        "spare: one made for another data set takes the task",
        "workers/agent/tasks/warm.py",
        "    return spare.data == data if spare.data is not None else",
        "    return True if spare.data is not None else",
        (_SPARES, "-k", "claimed_task"),
    ),
    Mutant(
        "spare: the output of the import is the script's",
        "workers/warm_start.py",
        "        os.dup2(nothing, number)\n    os.close(nothing)\n    return kept",
        "        pass\n    os.close(nothing)\n    return kept",
        (_SPARES, "-k", "finds_itself"),
    ),
    Mutant(
        "spare: it stays when memory is short",
        "workers/agent/running/spares.py",
        "        if left is not None and left < LEAST_TO_KEEP_BYTES:",
        "        if False:",
        (_SPARES, "-k", "memory_is_short"),
    ),
    Mutant(
        "spare: it stays when the owner wants the machine",
        "workers/agent/running/spares.py",
        "                slot.rest()\n",
        "                pass\n",
        (_SPARES, "-k", "all_end_at_the_close"),
    ),
    Mutant(
        "spare: an unchecked script starts warm",
        "workers/agent/tasks/warm.py",
        'in runnable_scripts() or lease.get("starts_warm") is True',
        "in runnable_scripts() or True",
        (_WARM, "-k", "was_checked"),
    ),
    Mutant(
        "spare: a task whose spare died fails",
        "workers/agent/tasks/warm.py",
        "        except (SpareFailed, OSError) as problem:",
        "        except ZeroDivisionError as problem:",
        (_WARM, "-k", "takes_no_script"),
    ),
    Mutant(
        "ahead: a pause keeps what was claimed ahead",
        "workers/agent/loop.py",
        'self._places.give_back_waiting("this worker was paused")',
        "0",
        (_PLACES, "-k", "pause"),
    ),
    Mutant(
        "ahead: a cold agent claims ahead",
        "workers/agent/loop.py",
        "        if self._runner.warm.spares is None or Feature.SLOTS",
        "        if Feature.SLOTS",
        (_PLACES, "-k", "cold"),
    ),
    Mutant(
        "check: other values start warm",
        "campaigns/scripts/contract.py",
        " and pair[0] == pair[1]\n",
        "\n",
        ("tests/commands/test_check_experiment.py", "-k", "only_equal_values"),
    ),
)
