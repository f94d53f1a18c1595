"""Which tests use a database and yet run in the first pass only: a second one would tell no more.

`tests/conftest.py` marks them `once`. What differs between databases is tested in both passes:
constraints, locks, aggregates, JSON, order, pages of lists, and how many queries a page takes. A
new test runs in both passes unless it, its file or its folder is in the table below.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

# By reason: names below tests/ of folders, files and single tests.
ONCE: Final[dict[str, tuple[str, ...]]] = {
    # What a page says. `ON_BOTH` names the tests that send its queries to both databases.
    "pages": ("pages/",),
    # Processes, pipes and addresses.
    "processes": (
        "access/test_security_headers.py",
        "running/test_base_path.py",
        "running/test_front_door.py",
        "running/test_jobs_of_a_machine.py",
        "running/test_manage.py",
    ),
    # tests/faults/test_nemesis.py, in the first pass, kills the same processes on PostgreSQL.
    "services": (
        "faults/test_end_to_end.py",
        "faults/test_serving.py",
    ),
    # The same queries as their neighbours, many times over; what is judged is Python's work.
    "computing": (
        "admin/test_campaigns.py::test_the_queries_of_a_list_do_not_grow_with_its_rows",
        "api/inputs/test_hostile_bodies.py::test_every_operation_that_takes_a_body_is_among",
        "api/inputs/test_hostile_bodies.py::test_no_hostile_body_costs_much_of_the_processor",
        "api/test_honesty.py::test_the_noise_comes_with_the_gaps_that_it_lets_see",
        "api/test_importance.py::test_parameters_come_most_important_first_with_their_uncertainty",
        "api/test_importance.py::test_an_older_estimate_is_shown_as_such_while_a_newer_one_is",
        "api/test_race_plans.py::test_a_plan_says_when_a_race_may_not_have_so_many_seeds",
        "api/test_race_plans.py::test_equal_values_leave_the_least_noise_of_a_race",
        "api/test_race_plans.py::test_more_power_takes_more_seeds_and_a_tiny_gap_more_than_there",
        "api/test_races.py::test_a_race_counts_the_runs_that_were_made_for_it",
        "arms/test_automatic_races.py::test_a_campaign_from_before_the_arms_never_races_by_itself",
        "arms/test_automatic_races.py::test_a_race_by_hand_takes_none_of_the_kept_runs_and_does",
        "arms/test_automatic_races.py::test_added_arms_that_are_no_contenders_do_not_race",
        "arms/test_automatic_races.py::test_arms_added_later_race_the_champion_on_fresh_seeds_once",
        "arms/test_automatic_races.py::test_more_seeds_of_the_same_arms_are_no_added_arms",
        "arms/test_race_options.py::test_a_race_by_hand_among_others_does_not_change_whom_added",
        "commands/test_leaderboard.py::test_the_board_in_the_readme_is_what_the_command_prints",
        "lifecycle/results/test_belief.py::test_the_catalogs_figure_is_what_the_job_would_measure",
        "lifecycle/results/test_belief.py::test_what_lzma_reaches_is_measured_once_by_a_job",
        "lifecycle/test_fair_claims.py::test_a_worker_that_fails_everything_at_once_ends_no_task",
        "metrics/test_findings.py::test_the_analysis_finds_what_makes_values_high",
        "metrics/test_findings.py::test_what_matters_is_what_the_highest_values_have_in_common",
        "metrics/test_second_metric.py::test_every_page_writes_its_values_with_its_unit",
        "metrics/test_second_metric.py::test_the_files_name_the_column_after_the_metric",
        "standings/test_forecast.py::test_a_pause_does_not_count_and_has_no_end",
        "standings/test_forecast.py::test_runs_far_shorter_than_their_budget_are_foretold_from",
        "standings/test_forecast.py::test_the_worker_that_is_left_is_asked_for_its_own_pace",
        "standings/test_forecast.py::test_two_agents_of_two_slots_are_four_at_a_time",
        "standings/test_forecast.py::test_when_half_of_the_fleet_leaves_the_rest_takes_twice_as",
    ),
    # Optuna's own storage; the campaign is read by the queries of the test that counts them.
    "optuna": (
        "exports/test_optuna_study.py::test_an_implausible_result_is_no_trial_until_it_is",
        "exports/test_optuna_study.py::test_an_older_file_is_replaced_and_nothing_half_is_left",
        "exports/test_optuna_study.py::test_optuna_goes_on_where_the_campaign_stands",
        "exports/test_optuna_study.py::test_params_come_back_as_they_ran_with_the_ranges_of_the",
        "exports/test_optuna_study.py::test_the_real_optuna_dashboard_shows_the_same_trials",
        "exports/test_optuna_study.py::test_times_curves_and_circumstances_come_along",
    ),
}
# Exceptions: tests of pages whose queries differ, by what they count, order, search and cut.
ON_BOTH: Final[tuple[str, ...]] = (
    "pages/campaign/test_analysis.py::test_a_panel_is_computed_once_and_then_kept",
    "pages/campaign/test_analysis.py::test_the_tab_has_a_place_for_each_panel_and_computes_none",
    "pages/campaign/test_arms.py::test_the_tab_costs_few_queries_however_many_arms",
    "pages/campaign/test_campaign.py::test_an_unknown_sort_is_the_order_of_values",
    "pages/campaign/test_campaign.py::test_its_queries_do_not_grow_with_the_results",
    "pages/campaign/test_campaign.py::test_the_queries_of_the_task_list_do_not_grow",
    "pages/campaign/test_campaign.py::test_the_runs_are_filtered_by_how_tasks_ended",
    "pages/campaign/test_campaign.py::test_the_runs_are_sorted_by_any_column_both_ways",
    "pages/campaign/test_campaign.py::test_the_runs_come_in_the_order_of_their_values",
    "pages/campaign/test_campaign_refresh.py::test_other_pages_bring_what_changed_alone",
    "pages/campaign/test_campaign_tabs.py",
    "pages/campaign/test_campaign_verbs.py",
    "pages/campaign/test_hero.py::test_few_queries_however_many_points",
    "pages/campaign/test_hero.py::test_what_is_new_is_sent_with_a_few_points_before_it",
    "pages/campaign/test_honesty.py::test_a_list_has_pages",
    "pages/campaign/test_honesty.py::test_the_tab_costs_few_queries",
    "pages/campaign/test_race.py::test_an_earlier_race_has_an_own_address_and_is_in_the_list",
    "pages/campaign/test_race.py::test_the_csv_has_every_difference_of_the_race",
    "pages/campaign/test_race.py::test_the_tab_costs_few_queries_however_many_arms",
    "pages/campaign/test_side.py::test_it_needs_the_same_few_queries_however_many_seeds",
    "pages/campaign/test_side_verbs.py",
    "pages/test_account.py",
    "pages/test_agents.py::test_the_page_costs_few_queries",
    "pages/test_campaign_list.py",
    "pages/test_cold_queries.py",
    "pages/test_compare.py::test_arms_of_two_campaigns_are_told_apart_by_shared_seeds",
    "pages/test_compare.py::test_the_queries_do_not_grow_with_the_columns",
    "pages/test_hostile_forms.py",
    "pages/test_hostile_text.py",
    "pages/test_new_campaign.py::test_rows_become_the_search_space_of_the_draft",
    "pages/test_new_campaign.py::test_the_page_and_its_fragments_need_few_queries",
    "pages/test_new_campaign_imports.py::test_a_clone_starts_with_everything_the_campaign_has",
    "pages/test_overview.py::test_its_queries_do_not_grow_with_what_it_lists",
    "pages/test_scripts.py",
    "pages/test_task.py::test_a_refresh_sends_the_new_points_of_a_long_curve_alone",
    "pages/test_task.py::test_its_queries_do_not_grow_with_the_attempts",
    "pages/test_webhooks.py",
    "pages/test_workers.py",
)
_NAMES: Final = tuple(name for names in ONCE.values() for name in names)


def is_once(name: str, markers: Collection[str]) -> bool:
    """Return whether a test that uses a database runs in the first pass only.

    `name` is pytest's, from the root of the tree: "tests/pages/test_task.py::test_…[case]".
    """
    name = name.removeprefix("tests/")
    return (
        name.startswith(_NAMES)
        and not name.startswith(ON_BOTH)
        and not {"sqlite_only", "postgresql_only"} & set(markers)
    )
