"""Which tests `make quick` leaves out: those that start other programs or take long.

`tests/conftest.py` marks all others `quick`. A new test is quick unless it, its file or its folder
is in the table below, or it has one of these markers or fixtures.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

MARKERS_LEFT_OUT: Final = frozenset({"browser", "long"})
FIXTURES_LEFT_OUT: Final = frozenset({"live_server", "process_environment"})
# What is left out, by reason: names below tests/ of folders, files and single tests.
LEFT_OUT: Final[dict[str, tuple[str, ...]]] = {
    "browser": ("browser/",),
    "torch": (
        "agent/running/test_hardware.py",
        "experiments/",
    ),
    # Servers, agents, scripts and commands in processes of their own.
    "servers": (
        "access/test_security_headers.py::test_production_passes_every_check",
        "agent/connection/test_hostile_server.py",
        "agent/fleet/test_ray.py",
        "agent/fleet/test_slurm.py",
        "agent/processes/",
        "agent/running/",
        "agent/setup/test_setup.py",
        "agent/tasks/",
        "agent/test_cli.py",
        "agent/test_disk.py",
        "agent/test_enrolment.py",
        "agent/test_faults.py",
        "agent/test_isolation.py",
        "agent/test_loop.py",
        "agent/test_secrecy.py",
        "api/inputs/test_payload_limits.py",
        "commands/test_check_experiment.py",
        "design/test_launch_checks.py",
        "exports/test_optuna_study.py",
        "faults/",
        "images/test_compose.py::test_it_keeps_to_the_schema_of_compose_files",
        "running/test_backup_restore.py",
        "running/test_base_path.py",
        "running/test_demo.py",
        "running/test_demo_data.py",
        "running/test_keeping.py",
        "running/test_processes.py",
        "running/test_secret_values.py::test_the_settings_take_all_three_secrets_from_files",
        "running/test_serve.py",
        "tools/test_import_borders.py",
        "tools/test_private_postgres.py",
        "versions/test_old_server.py",
    ),
    # Many inputs, rows, queries or threads: a second or more each, or a file of many seconds.
    "long": (
        "access/test_audit_log.py::test_every_verb_of_every_door_is_tried_here",
        "access/test_authorisation.py",
        "access/test_pages.py::test_everybody_reads_when_the_installation_is_open",
        "admin/",
        "agent/connection/test_client.py::test_a_small_answer_that_becomes_gigabytes_costs_little",
        "agent/output/test_readers.py::test_no_output_keeps_the_agent_busy",
        "analysis/test_estimates.py",
        "analysis/test_params.py",
        "analysis/test_runs.py::test_of_many_results_a_fair_share_is_read",
        "api/test_campaigns.py::test_the_list_is_sorted_by_any_column_of_the_page",
        "api/inputs/test_hostile_bodies.py",
        "api/inputs/test_hostile_queries.py",
        "api/test_importance.py",
        "api/test_overview.py::test_the_log_tells_who_did_what_and_goes_on_where_a_page_ends",
        "api/inputs/test_parsers.py::test_whatever_can_be_stored_passes_however_it_is_escaped",
        "api/test_schema.py",
        "api/test_tasks.py::test_the_tasks_are_sorted_by_any_column_of_the_page",
        "charts/test_points.py",
        "commands/test_reads.py",
        "lifecycle/results/test_belief.py::test_the_catalogs_figure_is_what_the_job_would_measure",
        "lifecycle/test_breakers.py",
        "lifecycle/test_claim_races.py",
        "lifecycle/test_fair_claims.py::test_a_worker_that_fails_silent_again_and_again",
        "lifecycle/histories/test_histories.py",
        "pages/campaign/test_analysis.py",
        "pages/campaign/test_campaign_tabs.py",
        "pages/test_compare.py",
        "pages/test_hostile_forms.py",
        "pages/test_hostile_text.py",
        "pages/test_overview.py",
        "pages/test_task.py::test_a_long_curve_is_drawn_as_a_sample",
        "running/test_growth.py",
        "search/test_steps.py::test_a_space_whose_draws_cost_too_much_is_refused_soon",
        "standings/test_board.py",
        "tools/test_mutants.py",
        "tools/test_quick.py",
    ),
}
_NAMES_LEFT_OUT: Final = tuple(name for names in LEFT_OUT.values() for name in names)


def is_quick(name: str, markers: Collection[str], fixtures: Collection[str]) -> bool:
    """Return whether `make quick` runs a test.

    `name` is pytest's, from the root of the tree: "tests/api/test_ask.py::test_…[case]".
    """
    return (
        not name.removeprefix("tests/").startswith(_NAMES_LEFT_OUT)
        and MARKERS_LEFT_OUT.isdisjoint(markers)
        and FIXTURES_LEFT_OUT.isdisjoint(fixtures)
    )


def left_out_line(count: int) -> str:
    """Return the sentence that tells how many tests were left out, and why."""
    return f"{count} tests left out ({', '.join(LEFT_OUT)}); make test runs them all"
