"""Guards of what people type and agents report: spaces, launches, progress, addresses, figures."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

YAML: Final = "campaigns/search/yaml_text.py"
LINED: Final = "campaigns/search/lined.py"
DISTRIBUTIONS: Final = "campaigns/search/distributions.py"
SWEEPS: Final = "campaigns/search/sweeps.py"
SPACE: Final = "campaigns/search/space.py"
CHECKS: Final = "campaigns/lifecycle/launch_checks.py"
ADDRESSES: Final = "campaigns/notifications/addresses.py"
FINDING: Final = "campaigns/standings/finding.py"
PROGRESS: Final = "campaigns/lifecycle/progress.py"
TEXTS: Final = ("tests/search/test_texts.py",)
SWEEP: Final = ("tests/search/test_sweeps.py",)
STEPS: Final = "tests/search/test_steps.py"
LAUNCH: Final = ("tests/design/test_launch_checks.py",)
CURVES: Final = ("tests/lifecycle/test_progress.py",)
BEATS: Final = "tests/api/agents/test_heartbeat.py"
PUBLIC: Final = ("tests/notifications/test_addresses.py",)
FINDINGS: Final = ("tests/standings/test_finding.py",)

INPUTS: Final = (
    Mutant(
        "text: what an alias stands for is not counted",
        YAML,
        "        self._count(size, event)\n",
        "",
        (*TEXTS, "-k", "build_more_than"),
    ),
    Mutant(
        "text: a YAML text of any number of values is read",
        YAML,
        "        if self._built > MAX_BUILT:",
        "        if False:",
        (*TEXTS, "-k", "longer_than_the_bound"),
    ),
    Mutant(
        "text: the second of two equal keys wins",
        LINED,
        "        if key in self:",
        "        if False:",
        TEXTS,
    ),
    Mutant(
        "text: a whole number of any length is read",
        LINED,
        "    if len(literal) > MAX_DIGITS:",
        "    if False:",
        TEXTS,
    ),
    Mutant(
        "text: a number beyond all floats is read",
        LINED,
        '    if number in {float("inf"), float("-inf")}:',
        "    if False:",
        TEXTS,
    ),
    Mutant(
        "text: words of YAML 1.1 are texts",
        YAML,
        "        if _OLD_WORDS.match(text):",
        "        if False:",
        TEXTS,
    ),
    Mutant(
        "text: sexagesimals and dates of YAML 1.1 are texts",
        YAML,
        '.endswith(":str"):',
        ".endswith(tuple(':')) or True:",
        TEXTS,
    ),
    Mutant(
        "text: any depth is followed",
        YAML,
        "        if depth > MAX_DEPTH:",
        "        if depth > 10**9:",
        (*TEXTS, "-k", "refused_where"),
    ),
    Mutant(
        "sweep: a field that the distribution does not use is left out",
        SWEEPS,
        '            if key not in {"distribution", *fields}:',
        "            if False:",
        SWEEP,
    ),
    Mutant(
        "sweep: any name is a parameter's",
        SWEEPS,
        "        if not NAME.match(name):",
        "        if False:",
        SWEEP,
    ),
    Mutant(
        "sweep: probabilities are left out",
        DISTRIBUTIONS,
        "        or any(probability != probabilities[0] for probability in probabilities)\n",
        "",
        SWEEP,
    ),
    Mutant(
        "sweep: steps on a logarithmic scale are read as every whole number",
        DISTRIBUTIONS,
        "    if q != 1:",
        "    if False:",
        SWEEP,
    ),
    Mutant(
        "sweep: any number of runs is suggested",
        SWEEPS,
        "        if type(run_cap) is not int or not 1 <= run_cap <= MAX_TASKS:",
        "        if False:",
        SWEEP,
    ),
    Mutant(
        "space: the steps of a draw are not counted in what shares them",
        SPACE,
        "        if self.budget is not None:",
        "        if False:",
        (STEPS, "-k", "share_it"),
    ),
    Mutant(
        "space: the values of a choice cost a draw nothing",
        SPACE,
        "            steps.take(len(parameter.values) * self._steps_of(own))\n",
        "",
        (STEPS, "-k", "cost_too_much"),
    ),
    Mutant(
        "space: the values of a choice beside others cost a draw nothing",
        SPACE,
        "        steps.take(len(values) * self._steps_of(deciding))\n",
        "",
        (STEPS, "-k", "cost_too_much"),
    ),
    Mutant(
        "space: a text of any length costs one step",
        "campaigns/search/constraints.py",
        "        return self._nodes + characters // CHARACTERS_PER_STEP",
        "        return self._nodes",
        (STEPS, "-k", "text_costs"),
    ),
    Mutant(
        "space: a grid is walked whatever its constraints cost",
        "campaigns/search/samplers.py",
        "    if count * space.point_steps > GRID_STEPS:",
        "    if False:",
        (STEPS, "-k", "grid"),
    ),
    Mutant(
        "space: a survey looks at as many points as ever",
        "campaigns/search/survey.py",
        "    affordable = max(1, SURVEY_STEPS // space.point_steps)",
        "    affordable = SAMPLED",
        (STEPS, "-k", "surveyed"),
    ),
    Mutant(
        "launch: draws as long as it takes",
        "campaigns/lifecycle/arms.py",
        ".with_budget(limit)",
        "",
        (*LAUNCH, "-k", "steps_pay_for"),
    ),
    Mutant(
        "launch: nothing is checked before",
        "campaigns/lifecycle/campaigns.py",
        "    if problems := launch_problems(campaign):",
        "    if problems := None:",
        (*LAUNCH, "-k", "refused"),
    ),
    Mutant(
        "launch: of params that the script does not know",
        CHECKS,
        "    if unknown and not is_uploaded:",
        "    if False:",
        LAUNCH,
    ),
    Mutant(
        "launch: on a data set too short for the largest context",
        CHECKS,
        "    if longest is not None and (longest == 0 or (largest or 0) > longest):",
        "    if longest is not None and longest == 0:",
        LAUNCH,
    ),
    Mutant(
        "launch: on a data set without a validation split",
        "experiments/catalog.py",
        "        return dataset_bytes // CONTEXTS_PER_DATASET if has_split else 0",
        "        return dataset_bytes // CONTEXTS_PER_DATASET",
        (*LAUNCH, "-k", "script_agree_on_data"),
    ),
    Mutant(
        "progress: is kept after the end of an attempt",
        "campaigns/lifecycle/leases.py",
        "    if held.update(**renewal(",
        '    store_progress(attempt, list(progress), "")\n    if held.update(**renewal(',
        (*CURVES, "-k", "after_the_end"),
    ),
    Mutant(
        "progress: any number of points per attempt",
        PROGRESS,
        "        thin_out(attempt)\n",
        "        pass\n",
        (*CURVES, "-k", "bounded_curve"),
    ),
    Mutant(
        "progress: sampled by the numbers of its sender",
        "campaigns/analysis/curves.py",
        'Mod(F("position") - 1, every)',
        'Mod(F("seq"), every)',
        (*CURVES, "-k", "by_position"),
    ),
    Mutant(
        "progress: a loss of any size is stored",
        "campaigns/serializers/agents.py",
        "            if abs(attrs.get(name) or 0.0) > most:",
        "            if False:",
        (BEATS, "-k", "sane_size"),
    ),
    Mutant(
        "progress: a lease may stand in a heartbeat any number of times",
        "campaigns/serializers/agents.py",
        '        if len({lease["lease_id"] for lease in leases}) < len(leases):',
        "        if False:",
        (BEATS, "-k", "heartbeat_once"),
    ),
    Mutant(
        "progress: any number of points in a heartbeat",
        "campaigns/serializers/agents.py",
        '        if sum(len(lease["progress"]) for lease in reporting) > MAX_POINTS_IN_HEARTBEAT:',
        "        if False:",
        (BEATS, "-k", "even_share"),
    ),
    Mutant(
        "query: a parameter that nobody reads is ignored",
        "campaigns/api/bases.py",
        "            if name not in known:",
        "            if False:",
        ("tests/api/inputs/test_query_parameters.py", "-k", "refused"),
    ),
    Mutant(
        "query: the last of two equal parameters wins",
        "campaigns/api/bases.py",
        "            elif len(values) > 1:",
        "            elif False:",
        ("tests/api/inputs/test_query_parameters.py", "-k", "refused"),
    ),
    Mutant(
        "figures: hold numbers that JSON has not",
        "xeenet_site/web/strict_json.py",
        "            return data if math.isfinite(data) else None",
        "            return data",
        ("tests/charts/test_strict_json.py",),
    ),
    Mutant(
        "webhook: the special networks that Python misses are public",
        ADDRESSES,
        "        and not any(address in network for network in _SPECIAL)\n",
        "",
        PUBLIC,
    ),
    Mutant(
        "webhook: addresses of IPv6 that nobody has are public",
        ADDRESSES,
        "        if address not in _IPV6_HOSTS:",
        "        if False:",
        PUBLIC,
    ),
    Mutant(
        "webhook: a way through to a private IPv4 address is public",
        ADDRESSES,
        "        if address.sixtofour is not None and not is_public(address.sixtofour):",
        "        if False:",
        PUBLIC,
    ),
    Mutant(
        "finding: refused configs are not told",
        FINDING,
        "    if 2 * script_errors >= ended and "
        "2 * (refused := _refusals(campaign)).count >= ended:",
        "    if False:",
        FINDINGS,
    ),
    Mutant(
        "finding: any script error is a refused config",
        FINDING,
        "        submission__final=True,\n",
        "",
        FINDINGS,
    ),
    Mutant(
        "finding: an ended campaign still promises rows",
        FINDING,
        "    if campaign.state not in ENDED:",
        "    if True:",
        FINDINGS,
    ),
)
