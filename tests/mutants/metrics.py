"""Guards of metrics: which values are better, what a line must show, what a launch pins."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

SPECS: Final = "experiments/metrics.py"
SECOND: Final = "tests/metrics/test_second_metric.py"
FINDINGS: Final = "tests/metrics/test_findings.py"

METRICS: Final = (
    Mutant(
        "metric: more is taken for worse",
        SPECS,
        "        return 0.0 - value if self.is_maximised else value\n",
        "        return value\n",
        (SECOND, "-k", "highest_first"),
    ),
    Mutant(
        "metric: a value outside of its bounds follows from counters",
        SPECS,
        "        if not self.low < computed < self.high:\n",
        "        if False:\n",
        ("tests/experiments/test_metrics.py", "-k", "no_evaluation_has"),
    ),
    Mutant(
        "metric: a value need not follow from its counters",
        "workers/result_line.py",
        "    if abs(computed - value) > spec.tolerance:\n",
        "    if False:\n",
        (SECOND, "-k", "refused_by_the_rules"),
    ),
    Mutant(
        "metric: a launched campaign follows the catalog",
        "campaigns/models/campaign.py",
        "        if self.metric_version is not None:\n",
        "        if False:\n",
        (SECOND, "-k", "launch_pins"),
    ),
    Mutant(
        "metric: a launch pins none",
        "campaigns/lifecycle/campaigns.py",
        "made, launched_at=now, draws=draws, **pinned)",
        "made, launched_at=now, draws=draws)",
        (SECOND, "-k", "launch_pins"),
    ),
    Mutant(
        "metric: the bound in bits per byte judges values of any",
        "campaigns/lifecycle/belief.py",
        " if spec.name == VAL_BPB.name else None\n",
        "\n",
        (SECOND, "-k", "neither_checked_nor_bounded"),
    ),
    Mutant(
        "metric: a bound that is known later judges values of any",
        "campaigns/lifecycle/belief.py",
        "filter(campaign__dataset=dataset, campaign__metric=VAL_BPB.name)",
        "filter(campaign__dataset=dataset)",
        (SECOND, "-k", "neither_checked_nor_bounded"),
    ),
    Mutant(
        "metric: val_bpb of a progress point passes for any",
        "campaigns/lifecycle/progress.py",
        "point.get(metric)",
        'point.get("val_bpb")',
        (SECOND, "-k", "progress_point"),
    ),
    Mutant(
        "metric: values of different ones are compared",
        SPECS,
        "    return different.pop() if len(different) == 1 else None\n",
        "    return different.pop() if different else None\n",
        (FINDINGS, "-k", "not_compared"),
    ),
    Mutant(
        "metric: val_bpb in answers is the value of any",
        "campaigns/serializers/values.py",
        "        if fields.get_attribute(instance, self._metric) != VAL_BPB.name:\n",
        "        if False:\n",
        (SECOND, "-k", "highest_first"),
    ),
)
