"""The import contracts in pyproject.toml are kept, and pure modules import only what they may."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

# Pure modules -> those of our packages that importing them may load. Everything else must be from
# the standard library.
PURE_MODULES = {
    "workers.protocol": {"workers"},
    "workers.result_line": {"workers", "experiments"},
    "campaigns.scripts.source": {"campaigns"},
    "campaigns.analysis.axes": {"campaigns"},
    "campaigns.analysis.chance": {"campaigns"},
    "campaigns.analysis.distribution": {"campaigns"},
    "campaigns.analysis.effects": {"campaigns"},
    "campaigns.analysis.importance": {"campaigns"},
    "campaigns.analysis.runs": {"campaigns"},
    "campaigns.analysis.surface": {"campaigns"},
    "campaigns.race.compared": {"campaigns"},
    "campaigns.race.look": {"campaigns"},
    "campaigns.race.param_words": {"campaigns"},
    "campaigns.race.plan": {"campaigns"},
    "campaigns.race.rule": {"campaigns"},
    "campaigns.race.value": {"campaigns"},
    "campaigns.search.space": {"campaigns"},
    "campaigns.search.samplers": {"campaigns"},
    "campaigns.search.editor": {"campaigns"},
    "campaigns.search.sweep_files": {"campaigns", "experiments"},
    "campaigns.search.survey": {"campaigns"},
    "experiments.catalog": {"experiments"},
    "experiments.config_generators": {"experiments"},
    "experiments.english_like_corpus": {"experiments"},
    "experiments.metrics": {"experiments"},
}
HEAVY = {"django", "rest_framework", "django_q", "torch", "numpy", "campaigns", "xeenet_site"}


def top_level_packages_after(statement: str) -> set[str]:
    """Return the top-level packages that ``statement`` loads in a new interpreter."""
    program = (
        "import json, sys; before = set(sys.modules); "
        f"{statement}; "
        "print(json.dumps(sorted({n.partition('.')[0] for n in set(sys.modules) - before})))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(answer.stdout))


def test_every_import_contract_is_kept() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    answer = subprocess.run(
        [lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("module", PURE_MODULES)
def test_a_pure_module_imports_only_the_standard_library(module: str) -> None:
    packages = top_level_packages_after(f"import {module}")
    assert packages - PURE_MODULES[module] <= set(sys.stdlib_module_names)


def test_every_module_of_the_agent_runs_without_django_torch_and_the_server() -> None:
    walk = (
        "import pkgutil, importlib, workers.agent as agent; "
        "names = [m.name for m in pkgutil.walk_packages(agent.__path__, 'workers.agent.')]; "
        "[importlib.import_module(n) for n in names if not n.endswith('__main__')]"
    )
    packages = top_level_packages_after(walk)
    assert "workers" in packages
    assert not packages & HEAVY


def test_the_training_script_imports_only_the_standard_library_and_torch() -> None:
    tree = ast.parse((ROOT / "experiments" / "train_char_lm.py").read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import breaks when the file is copied alone"
            imported.add((node.module or "").partition(".")[0])
    assert "torch" in imported
    assert imported <= set(sys.stdlib_module_names) | {"torch"}
