"""Spares: a process that has imported torch waits for one task, and leaves nothing behind.

The torch of these tests is a small module: what is tested is who may do what, and when.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.agent.runs import find_working_sandbox, kill_with_its_guardians, linux_only
from tests.agent.server import wait_until
from workers.agent.attempt import StopRequest
from workers.agent.grants import Priority
from workers.agent.processes.process_table import TAG_VARIABLE
from workers.agent.processes.process_tree import kill_tagged
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import Ending, Execution, Limits
from workers.agent.running.interpreter import own_interpreter
from workers.agent.running.sandbox import Sandbox
from workers.agent.running.spare import Spare, SpareFailed, SpareRecipe
from workers.agent.running.spares import LEAST_TO_START_BYTES, Spares, SpareSettings
from workers.agent.tasks.warm import can_have, place_data
from workers.protocol import IsolationTier

pytestmark = linux_only

ROOT = Path(__file__).parents[3]
LIMITS = Limits(60.0, 5.0, 2**32)
TORCH = """
import sys
from torch.version import __version__
print("noise of an import"), print("more of it", file=sys.stderr)
threads = None
def set_num_threads(count):
    global threads
    threads = count
"""
SCRIPT = """
import atexit, json, os, pathlib, sys
import torch
def readable(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError as error:
        return type(error).__name__
seen = {
    "val_bpb": 1.0, "name": __name__, "file": __file__, "argv": sys.argv, "path": sys.path[0],
    "stdin": sys.stdin.read(), "cwd": os.getcwd(), "environment": dict(os.environ),
    "threads": torch.threads, "files": {path: readable(path) for path in sys.argv[1:]},
}
data = pathlib.Path(os.environ["XEENET_DATA_DIR"])
seen["data"] = {path.name: path.read_text() for path in sorted(data.glob("*"))}
if "data" in os.listdir():
    for path in data.glob("*"):
        path.write_text("changed by the script")
atexit.register(print, json.dumps(seen))
"""


class Scene:
    """A folder with a torch, a cache with the data of two tasks, and a secret."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.torch = root / "packages" / "torch"
        self.cache, self.work = root / "cache", root / "work"
        for folder in (self.torch, self.cache, self.work):
            folder.mkdir(parents=True)
        (self.torch / "__init__.py").write_text(TORCH)
        (self.torch / "version.py").write_text('__version__ = "2.13.0"\n')
        self.own, self.other = self.cache / "own.txt", self.cache / "other.txt"
        self.own.write_text("data of the task")
        self.other.write_text("data of another task")
        self.token = root / "credentials.json"
        self.token.write_text("xw_secret")
        self.prefix = f"{uuid.uuid4().hex}/"
        python = own_interpreter()
        self.python = replace(python, folders=(*python.folders, self.torch.parent))

    def recipe(self, tier: IsolationTier = IsolationTier.T0) -> SpareRecipe:
        sandbox = None
        if tier is IsolationTier.T1:
            working = find_working_sandbox()
            if isinstance(working, str):
                pytest.skip(f"isolation T1 not tested: {working}")
            sandbox = Sandbox(working.program, self.python)
        variables = {"PYTHONPATH": str(self.torch.parent)}
        return SpareRecipe(self.python, self.cache, sandbox, variables)

    def spare(self, tier: IsolationTier = IsolationTier.T0, data: Path | None = None) -> Spare:
        name = uuid.uuid4().hex
        spare = Spare(self.recipe(tier), self.work / name, self.prefix + name, data)
        try:
            spare.wait(StopRequest())
        except SpareFailed:
            spare.end()
            raise
        return spare

    def living(self) -> list[psutil.Process]:
        """Return the living processes of this test's spares."""
        living = []
        for process in psutil.process_iter():
            try:
                tag = process.environ().get(TAG_VARIABLE, "")
                if tag.startswith(self.prefix) and process.status() != psutil.STATUS_ZOMBIE:
                    living.append(process)
            except (psutil.Error, OSError):
                continue
        return living

    def run(
        self, spare: Spare, source: str, *words: str, data_folder: Path | None = None
    ) -> Execution:
        script = spare.folder / "script.py"
        script.write_text(source)
        environment = script_environment(spare.folder, data_folder or self.cache, threads=3)
        return spare.run(
            [str(script), *words],
            environment=environment,
            threads=3,
            limits=LIMITS,
            stop=StopRequest(),
        )


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    _, survivors = kill_tagged(scene.prefix)
    assert survivors == []


@pytest.mark.parametrize("tier", list(IsolationTier))
def test_a_script_finds_itself_in_a_spare_as_in_a_process_of_its_own(
    scene: Scene, tier: IsolationTier
) -> None:
    spare = scene.spare(tier)
    assert spare.is_usable(scene.recipe(tier))
    assert can_have(spare, scene.own, 16)
    folder, copied_bytes = place_data(spare, scene.own)
    secrets = [str(scene.token), str(scene.other)]
    execution = scene.run(spare, SCRIPT, *secrets, data_folder=folder)
    assert (execution.ending, execution.exit_code) == (Ending.EXITED, 0), execution
    seen = execution.result
    assert seen is not None
    script = str(spare.folder / "script.py")
    assert (seen["name"], seen["file"], seen["argv"]) == ("__main__", script, [script, *secrets])
    assert (seen["path"], seen["cwd"], seen["stdin"]) == (str(spare.folder),) * 2 + ("",)
    assert seen["threads"] == 3
    expected = {**script_environment(spare.folder, folder, threads=3), TAG_VARIABLE: spare.tag}
    assert {**seen["environment"], "LC_CTYPE": ""} == {**expected, "LC_CTYPE": ""}
    assert execution.stderr_tail == ""  # what the import printed is dropped
    if tier is IsolationTier.T1:
        assert set(seen["files"].values()) == {"FileNotFoundError"}
        assert (seen["data"], copied_bytes) == ({"own.txt": "data of the task"}, 16)
    assert scene.own.read_text() == "data of the task"  # a copy, not a link
    assert scene.living() == []


def test_a_sandbox_made_for_a_claimed_task_reads_its_data_and_takes_no_other_task(
    scene: Scene,
) -> None:
    spare = scene.spare(IsolationTier.T1, scene.own)
    assert can_have(spare, scene.own, 2**40)
    assert not can_have(spare, scene.other, 1)
    folder, copied_bytes = place_data(spare, scene.own)
    assert (folder, copied_bytes) == (scene.cache, 0)
    execution = scene.run(spare, SCRIPT, str(scene.other))
    assert execution.result is not None
    assert execution.result["data"] == {"own.txt": "data of the task"}
    assert set(execution.result["files"].values()) == {"FileNotFoundError"}


def test_the_end_of_a_script_in_a_spare_is_that_of_a_python_program(scene: Scene) -> None:
    failing = "import sys\nsys.stdout.write('no newline')\nraise ValueError('of the script')\n"
    execution = scene.run(scene.spare(), failing)
    assert execution.exit_code == 1
    assert execution.stderr_tail.splitlines()[1:] == [
        f'  File "{execution_file(execution)}", line 3, in <module>',
        "    raise ValueError('of the script')",
        "ValueError: of the script",
    ]
    leaving = scene.run(scene.spare(), "import sys\nsys.exit('its last words')")
    assert (leaving.exit_code, leaving.stderr_tail) == (1, "its last words\n")
    killed = scene.run(scene.spare(), "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)")
    assert killed.exit_code == -15


def execution_file(execution: Execution) -> str:
    return execution.stderr_tail.split('"')[1]


def agent_that_runs(scene: Scene, program: str) -> subprocess.Popen[bytes]:
    """Start a process that keeps spares under the scene's tag, in another folder."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(scene.root / "second")],
        cwd=ROOT,
        env={
            **script_environment(scene.root, scene.root),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
        },
        stdout=subprocess.PIPE,
    )


@pytest.mark.parametrize("tier", list(IsolationTier))
@pytest.mark.parametrize("guarded", [True, False])
def test_an_idle_spare_ends_with_its_agent(
    scene: Scene, tier: IsolationTier, guarded: bool
) -> None:
    scene.recipe(tier)  # skips where there is no sandbox
    program = f"""
        import sys, time
        from pathlib import Path
        from tests.agent.running.test_spares import Scene
        from workers.protocol import IsolationTier
        from workers.agent.processes.process_tree import adopt_orphans
        adopt_orphans()
        scene = Scene(Path(sys.argv[1]))
        scene.prefix = {scene.prefix!r}
        spare = scene.spare(IsolationTier.{tier.name})
        print("ready", flush=True)
        time.sleep(60)
        """
    agent = agent_that_runs(scene, program)
    assert agent.stdout is not None
    assert agent.stdout.readline() == b"ready\n"
    assert scene.living()
    if guarded:
        agent.kill()
        agent.wait()
    else:
        kill_with_its_guardians(agent)
    agent.stdout.close()
    wait_until(lambda: scene.living() == [], 10)


@pytest.mark.parametrize("tier", list(IsolationTier))
@pytest.mark.parametrize("part", ["half", "whole"])
def test_an_agent_killed_at_the_hand_over_leaves_no_process(
    scene: Scene, tier: IsolationTier, part: str
) -> None:
    """Half of an order starts nothing; a script that has the whole one ends with its agent."""
    scene.recipe(tier)  # skips where there is no sandbox
    program = f"""
        import os, signal, sys
        from pathlib import Path
        from tests.agent.running.test_spares import Scene
        from workers.protocol import IsolationTier
        from workers.agent.processes.process_tree import ProcessTree, adopt_orphans
        adopt_orphans()
        class Pipe:
            def __enter__(self): return self
            def __exit__(self, *_): pass
            def write(self, order):
                stdin.write(order[: len(order) // 2] if {part!r} == "half" else order)
                print(spare.folder, flush=True)
                if {part!r} == "whole":
                    while not (spare.folder / "began").exists(): pass
                os.kill(os.getpid(), signal.SIGKILL)
        scene = Scene(Path(sys.argv[1]))
        scene.prefix = {scene.prefix!r}
        spare = scene.spare(IsolationTier.{tier.name})
        stdin = spare._tree.stdin
        ProcessTree.stdin = property(lambda _: Pipe())
        scene.run(spare, "import pathlib, time; pathlib.Path('began').touch(); time.sleep(60)")
        """
    agent = agent_that_runs(scene, program)
    assert agent.stdout is not None
    with agent.stdout:
        folder = Path(agent.stdout.readline().decode().strip())
        assert agent.wait(60) == -signal.SIGKILL
    wait_until(lambda: scene.living() == [], 10)
    assert (folder / "script.py").exists()
    assert (folder / "began").exists() is (part == "whole")


def test_a_spare_is_not_used_after_a_change_of_what_it_was_made_of(scene: Scene) -> None:
    spare, recipe = scene.spare(), scene.recipe()
    assert spare.is_usable(recipe)
    assert not spare.is_usable(replace(recipe, priority=Priority.IDLE))
    stray = spare.folder / "left by a neighbour"
    stray.touch()
    assert not spare.is_usable(recipe)
    stray.unlink()
    (scene.torch / "version.py").write_text('__version__ = "2.14.0"\n')
    assert not spare.is_usable(recipe)
    spare.end()
    assert scene.living() == []
    assert not spare.folder.exists()


def test_a_spare_that_died_takes_nothing_and_leaves_its_folder_to_a_cold_start(
    scene: Scene,
) -> None:
    spare = scene.spare()
    for process in scene.living():
        process.kill()
    wait_until(lambda: not spare.is_usable(scene.recipe()))
    with pytest.raises(SpareFailed):
        scene.run(spare, SCRIPT)
    spare.end(keeps_folder=True)
    assert (spare.folder / "script.py").exists()


class Kept:
    """The spares of one scene, with a memory that the test sets."""

    def __init__(self, scene: Scene, **settings: float) -> None:
        self.memory = 2 * LEAST_TO_START_BYTES
        self.recipe = scene.recipe()
        self.said: list[str] = []
        self.spares = Spares(
            SpareSettings(
                scene.work, scene.prefix, lambda: self.recipe, lambda: self.memory, **settings
            )
        )
        self.spares.on_change = self.said.append

    def take(self) -> Spare | None:
        return self.spares.take(self.recipe, lambda _: True, StopRequest(), seconds=60.0)


@pytest.fixture
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.agent.running.spares._LOOK_SECONDS", 0.05)
    monkeypatch.setattr("workers.agent.running.spares._RETRY_SECONDS", (0.1, 0.2))


@pytest.mark.usefixtures("look_often")
def test_spares_are_kept_while_they_are_wanted_and_all_end_at_the_close(scene: Scene) -> None:
    kept = Kept(scene)
    assert kept.take() is None  # none is wanted yet
    kept.spares.want(1)
    wait_until(lambda: list(scene.work.iterdir()))
    spare = kept.take()  # waits for the import
    assert spare is not None
    wait_until(lambda: len(list(scene.work.iterdir())) == 2)  # the next one
    another = kept.take()
    assert another is not None
    assert another.folder != spare.folder
    for used in (spare, another):
        kept.spares.end(used)
    kept.spares.rest()
    wait_until(lambda: not list(scene.work.iterdir()))
    assert kept.take() is None
    kept.spares.want(1)
    wait_until(lambda: list(scene.work.iterdir()))
    kept.spares.close()
    assert list(scene.work.iterdir()) == []
    assert scene.living() == []


@pytest.mark.usefixtures("look_often")
def test_a_spare_that_was_idle_for_long_is_replaced(scene: Scene) -> None:
    kept = Kept(scene, idle_seconds=0.2)
    kept.spares.want(1)
    wait_until(lambda: list(scene.work.iterdir()))
    [first] = scene.work.iterdir()
    wait_until(lambda: list(scene.work.iterdir()) not in ([first], []))
    kept.spares.close()


@pytest.mark.usefixtures("look_often")
def test_a_spare_ends_when_memory_is_short_and_one_that_fails_is_told_of(scene: Scene) -> None:
    kept = Kept(scene)
    kept.spares.want(1)
    wait_until(lambda: kept.spares.ready)
    kept.memory = 1
    wait_until(lambda: not list(scene.work.iterdir()))
    assert "memory" in kept.spares.why_cold
    kept.memory = 2 * LEAST_TO_START_BYTES
    wait_until(lambda: kept.spares.why_cold == "")
    (scene.torch / "__init__.py").write_text("raise ImportError('broken')")  # its spare goes, too
    wait_until(lambda: "broken" in kept.spares.why_cold)
    assert kept.take() is None
    kept.spares.close()
    assert [bool(said) for said in kept.said] == [True, False, True]


@pytest.mark.usefixtures("look_often")
def test_a_spare_whose_torch_was_changed_is_replaced_by_one_with_the_new(scene: Scene) -> None:
    kept = Kept(scene)
    kept.spares.want(1)
    wait_until(lambda: kept.spares.ready)
    # Of another length: Python takes what it compiled of a file of the same second and size.
    (scene.torch / "version.py").write_text('__version__ = "2.14.10"\n')
    wait_until(lambda: [spare.torch_version for spare in kept.spares.ready] == ["2.14.10"])
    kept.spares.close()
