"""Guards of the hero chart: what counts in it, what is not drawn, what an append may miss."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

POINTS: Final = "campaigns/charts/points.py"
COLUMNS: Final = "campaigns/charts/hero_columns.py"
HERO_CHART: Final = "campaigns/charts/hero.py"
LABELS: Final = "xeenet_site/static/xeenet/hero-labels.js"
PAGE_TESTS: Final = "tests/pages/campaign/test_hero.py"

HERO: Final = (
    Mutant(
        "hero: an append knows only the workers of its own points",
        HERO_CHART,
        "theirs = Q(worker__in=workers) | Q(worker__in=newest[:RUNS_OF_WORKERS])",
        "theirs = Q(worker__in=workers)",
        (PAGE_TESTS, "-k", "gone_without_a_new_point"),
    ),
    Mutant(
        "hero: results of another class count",
        POINTS,
        'counts=is_ranked and result_class in {None, row["result__result_class"]},',
        "counts=is_ranked,",
        ("tests/charts/test_points.py", "-k", "wanted_class"),
    ),
    Mutant(
        "hero: results of another class set records",
        POINTS,
        "        counts &= Q(result__result_class=result_class)",
        "        pass",
        ("tests/charts/test_points.py", "-k", "wanted_class"),
    ),
    Mutant(
        "hero: invented values are drawn",
        COLUMNS,
        "    if point.value is None or kind_of(point) not in PLACED:",
        "    if point.value is None:",
        ("tests/charts/test_hero_columns.py", "-k", "invented"),
    ),
    Mutant(
        "hero: a line goes through results of different classes",
        HERO_CHART,
        '"ordered": result_class is not None or len(classes_of(campaign)) < 2,',
        '"ordered": True,',
        (PAGE_TESTS, "-k", "class_of_the_address"),
    ),
    Mutant(
        "hero: an append has nothing of what was committed late",
        HERO_CHART,
        "    limit = min(new, MOST_NEW) + OVERLAP",
        "    limit = min(new, MOST_NEW)",
        (PAGE_TESTS, "-k", "few_points_before"),
    ),
    Mutant(
        "hero: labels may touch",
        LABELS,
        " || boxes.some((other) => touches(box, other))",
        "",
        ("tests/browser/test_hero.py", "-k", "no_label_touches"),
    ),
)
