"""Guards of uploaded scripts and downloads: approval, opt-in, isolation tier, source checks."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_CLAIMS: Final = ("tests/scripts/test_steering.py", "-k", "worker or approval")
_SOURCES: Final = ("tests/scripts/test_source.py",)

UPLOADS: Final = (
    Mutant(
        "claim: approval and tier are not looked at",
        "campaigns/lifecycle/claims.py",
        "            campaigns = campaigns.runnable_by(worker)\n",
        "            pass\n",
        _CLAIMS,
    ),
    Mutant(
        "claim: whoever names the tasks needs neither approval nor tier",
        "campaigns/lifecycle/claims.py",
        "        if not choice.runs_own_script:\n",
        "        if choice.among is None:\n",
        _CLAIMS,
    ),
    Mutant(
        "claim: approval and tier are waived unless somebody asks for them",
        "campaigns/lifecycle/claims.py",
        "    runs_own_script: bool = False,\n",
        "    runs_own_script: bool = True,\n",
        _CLAIMS,
    ),
    Mutant(
        "claim: an uploaded script needs no approval",
        "campaigns/models/campaign.py",
        "Q(package__approved_at__isnull=False)",
        "Q()",
        _CLAIMS,
    ),
    Mutant(
        "claim: the worker's owner is not asked",
        "campaigns/models/campaign.py",
        "        if worker.accepts_uploaded_scripts:\n",
        "        if True:\n",
        _CLAIMS,
    ),
    Mutant(
        "claim: a weaker tier will do",
        "campaigns/models/campaign.py",
        "        return self.filter(allowed, required_isolation__in=tiers)\n",
        "        return self.filter(allowed)\n",
        _CLAIMS,
    ),
    Mutant(
        "approval: a researcher approves",
        "campaigns/scripts/steering.py",
        "    if actor is not None and not roles.may_operate(actor):\n",
        "    if actor is not None and not roles.may_create(actor):\n",
        ("tests/scripts/test_steering.py", "-k", "may_not"),
    ),
    Mutant(
        "approval: the stored bytes are not hashed again",
        "campaigns/scripts/steering.py",
        "    if hashlib.sha256(source).hexdigest() != package.sha256 or source_problems(source):\n",
        "    if source_problems(source):\n",
        ("tests/scripts/test_steering.py", "-k", "changed_in_the_database"),
    ),
    Mutant(
        "approval: without its entry in the log",
        "campaigns/scripts/steering.py",
        '        audit.record(actor, "approve_script", package, now=now, detail=package.sha256)\n',
        "",
        ("tests/scripts/test_steering.py", "-k", "in_the_log"),
    ),
    Mutant(
        "deletion: of a script that a campaign names",
        "campaigns/scripts/steering.py",
        "        if locked.campaigns.exists():\n",
        "        if False:\n",
        ("tests/scripts/test_steering.py", "-k", "campaign_names"),
    ),
    Mutant(
        "deletion: by anybody",
        "campaigns/scripts/steering.py",
        "    if actor is not None and not may_delete(actor, package):\n",
        "    if False:\n",
        ("tests/scripts/test_steering.py", "-k", "nobody_else"),
    ),
    Mutant(
        "upload: hidden characters pass",
        "campaigns/scripts/source.py",
        "    return _text_problems(text) or _python_problems(text)\n",
        "    return _python_problems(text)\n",
        _SOURCES,
    ),
    Mutant(
        "upload: another encoding passes",
        "campaigns/scripts/source.py",
        '    if encoding != "utf-8":\n',
        "    if False:\n",
        _SOURCES,
    ),
    Mutant(
        "upload: names that look alike pass",
        "campaigns/scripts/source.py",
        "not name.string.isascii()",
        "False",
        _SOURCES,
    ),
    Mutant(
        "download: a worker fetches what no task of its own needs",
        "campaigns/api/views/agents.py",
        "            if not request.auth.leased_tasks.filter(**wanted).exists():\n",
        "            if not wanted:\n",
        ("tests/api/agents/test_downloads.py", "-k", "no_task_of_its_own"),
    ),
    Mutant(
        "download: a withdrawn script is still sent",
        "campaigns/api/views/agents.py",
        "        if isinstance(request.auth, Worker) and not package.may_run:\n",
        "        if False:\n",
        ("tests/api/test_scripts.py", "-k", "withdrawn"),
    ),
)
