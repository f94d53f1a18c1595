"""Guards between versions: words of other versions, and scripts that an agent lacks."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_WORDS: Final = ("tests/versions/test_features.py",)
_OLD_AGENT: Final = ("tests/versions/test_old_agent.py",)
_OLD_SERVER: Final = ("tests/versions/test_old_server.py",)
_SCRIPTS: Final = ("tests/versions/test_scripts_of_agents.py",)
_CLIENT: Final = "workers/agent/connection/client.py"
_FEATURES: Final = "workers/features.py"
_KNOWN: Final = "workers/scripts.py"

VERSIONS: Final = (
    Mutant(
        "versions: a later failure class reaches old servers",
        _FEATURES,
        '        spoken["failure_class"] = _word(reported, LATER_FAILURE_CLASSES, features)\n',
        "        pass\n",
        _WORDS,
    ),
    Mutant(
        "versions: a pause of the owner is told to every server",
        _CLIENT,
        "            heartbeat_for(request, self._features or NO_FEATURES),\n",
        "            request,\n",
        (*_OLD_SERVER, "-k", "pause_of_the_owner"),
    ),
    Mutant(
        "versions: a machine that its owner pauses is promised to run",
        "campaigns/standings/machines.py",
        " and not self.owner_pauses",
        "",
        ("tests/standings/test_forecast_rule.py", "-k", "owner_pauses"),
    ),
    Mutant(
        "versions: a later key reaches old servers",
        _FEATURES,
        "    unknown = {key for key, feature in later.items() if feature not in features}\n",
        "    unknown: set[str] = set()\n",
        _WORDS,
    ),
    Mutant(
        "versions: an unknown feature is an error",
        _FEATURES,
        "    return frozenset(Feature(word) for word in words if word in known)\n",
        "    return frozenset(Feature(word) for word in words)\n",
        _WORDS,
    ),
    Mutant(
        "versions: a claim is the same for every server",
        _CLIENT,
        "            claim_for(request, self.features(gives_up)),\n",
        "            request,\n",
        _OLD_SERVER,
    ),
    Mutant(
        "versions: a result is the same for every server",
        _CLIENT,
        "            plain = submission_for(submission, self.features())\n",
        "            plain = submission\n",
        _OLD_SERVER,
    ),
    Mutant(
        "versions: nobody asks before the first result",
        _CLIENT,
        "        if self._features is None:\n",
        "        if False:\n",
        _OLD_SERVER,
    ),
    Mutant(
        "versions: a refused word has no second chance",
        "workers/agent/delivery/outbox.py",
        "                if plain != entry.submission:",
        "                if False:",
        _OLD_SERVER,
    ),
    Mutant(
        "versions: an old agent misses a key of its lease",
        "campaigns/answers/leases.py",
        '        "code_sha256": campaign.package_id,\n',
        "",
        _OLD_AGENT,
    ),
    Mutant(
        "scripts: a fetched script needs no release",
        "workers/agent/tasks/scripts.py",
        "    if not policy.server_code and sha256 not in released.hashes(name):\n",
        "    if False:\n",
        _OLD_SERVER,
    ),
    Mutant(
        "scripts: a release of another experiment will do",
        "experiments/released.py",
        "RELEASES.get(experiment, ())",
        "sum(RELEASES.values(), ())",
        _OLD_SERVER,
    ),
    Mutant(
        "scripts: an agent gets a script that it lacks",
        "campaigns/models/campaign.py",
        "            if not worker.runs_any_script:\n",
        "            if False:\n",
        _SCRIPTS,
    ),
    Mutant(
        "scripts: a script that was refused is handed out again",
        "campaigns/models/campaign.py",
        "            allowed &= ~Q(package__in=worker.refused_scripts.split())\n",
        "",
        _SCRIPTS,
    ),
    Mutant(
        "scripts: machines without the script count as able",
        "campaigns/models/campaign.py",
        "        (Q(script_origin=PackageOrigin.BUILTIN) & runs)\n",
        "        Q(script_origin=PackageOrigin.BUILTIN)\n",
        _SCRIPTS,
    ),
    Mutant(
        "scripts: an agent that does not tell has every script",
        _KNOWN,
        "    return sorted(known), not known\n",
        "    return sorted(known), True\n",
        _SCRIPTS,
    ),
    Mutant(
        "scripts: who lacks a script is paused",
        _KNOWN,
        "    return failure_class == FailureClass.REFUSED and _REFUSAL_MARK in message\n",
        "    return False\n",
        _SCRIPTS,
    ),
    Mutant(
        "scripts: who lacks a script pauses the campaign",
        "campaigns/lifecycle/breakers.py",
        "        if not is_refusal(attempt.failure_class, attempt.message):\n",
        "        if True:\n",
        _SCRIPTS,
    ),
    Mutant(
        "scripts: a refusal outlives the agent's start",
        "workers/lifecycle.py",
        '.exclude(refused_scripts="").update(refused_scripts="")',
        '.filter(pk=None).update(refused_scripts="")',
        _SCRIPTS,
    ),
    Mutant(
        "scripts: any text is a hash",
        "workers/api/fields.py",
        "        if not SHA256_HEX.fullmatch(text):\n",
        "        if False:\n",
        _SCRIPTS,
    ),
)
