"""Guards of joining: who sees commands, who makes the first account, what is printed for others."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

COMMANDS: Final = "tests/pages/joining/test_commands.py"
JOINING: Final = "tests/pages/joining/test_joining.py"
FORM: Final = "tests/pages/test_new_campaign.py"

JOINING_GUARDS: Final = (
    Mutant(
        "joining: everybody sees where the server lies",
        "xeenet_site/web/commands.py",
        "return roles.may_operate(request.user) or is_at_the_machine(request)",
        "return True",
        ("tests/pages/test_overview.py", "-k", "four_steps"),
    ),
    Mutant(
        "joining: who comes through a proxy counts as sitting at the machine",
        "xeenet_site/web/commands.py",
        "return not forwarded and is_loopback",
        "return is_loopback",
        (COMMANDS, "-k", "who_sits_at_the_machine"),
    ),
    Mutant(
        "joining: a printed command shows the database's password",
        "xeenet_site/web/commands.py",
        "secret = [name for name, value in missing.items() if _has_password(value)]",
        "secret: list[str] = []",
        (COMMANDS, "-k", "same_installation"),
    ),
    Mutant(
        "joining: 127.0.0.1 for another machine",
        "xeenet_site/web/addresses.py",
        'if not commands.is_loopback(parts.hostname or ""):',
        "if True:",
        (COMMANDS, "-k", "address_that_it_can_reach"),
    ),
    Mutant(
        "joining: 127.0.0.1 in an invitation of the API",
        "campaigns/api/views/invitations.py",
        "        url = reach.url or server_url(request)",
        "        url = server_url(request)",
        ("tests/api/test_invitations.py", "-k", "other_machines_reach"),
    ),
    Mutant(
        "joining: nobody hears that a machine was refused for its name",
        "workers/lifecycle.py",
        "token_hash=hash_token(secret), used_at=None).update(",
        "token_hash=secret, used_at=None).update(",
        (JOINING, "-k", "refused_for_its_name"),
    ),
    Mutant(
        "joining: a link in the folder of programs leads to any file",
        "workers/joining/folders.py",
        "about = path.lstat()",
        "about = path.stat()",
        (JOINING, "-k", "no_shell"),
    ),
    Mutant(
        "joining: any file beside the programs is sent",
        "workers/joining/folders.py",
        "    return path if _NAME.fullmatch(name) and",
        "    return path if",
        (JOINING, "-k", "no_shell"),
    ),
    Mutant(
        "joining: a second first account",
        "xeenet_site/first_account.py",
        '    if not is_missing():\n        return redirect("login")\n',
        "",
        (JOINING, "-k", "once_and_signs_in"),
    ),
    Mutant(
        "joining: a first account for each of two who send the form at once",
        "xeenet_site/first_account.py",
        "        if not is_missing():\n            raise AccountExists\n",
        "",
        (JOINING, "-k", "once_and_signs_in"),
    ),
    Mutant(
        "joining: a first account without its code",
        "xeenet_site/first_account.py",
        "if not is_valid(code):",
        "if False:",
        (JOINING, "-k", "without_a_fresh_code"),
    ),
    Mutant(
        "joining: the code of the first account counts for ever",
        "xeenet_site/first_account.py",
        "_SIGNER.unsign(code, max_age=VALID_FOR)",
        "_SIGNER.unsign(code)",
        (JOINING, "-k", "without_a_fresh_code"),
    ),
    Mutant(
        "joining: a worker here wherever the server runs",
        "workers/steering.py",
        "if why := here.why_not():",
        'if why := "":',
        (JOINING, "-k", "must_not"),
    ),
    Mutant(
        "joining: a worker here gets the server's secrets",
        "xeenet_site/running/worker_here.py",
        "if k not in SERVER_ONLY_VARIABLES}",
        "}",
        (JOINING, "-k", "a_click_starts"),
    ),
    Mutant(
        "joining: a worker that ended by itself is started again",
        "xeenet_site/running/worker_here.py",
        "elif order.is_wanted and order.number != self._done:",
        "elif order.is_wanted:",
        (JOINING, "-k", "a_click_starts"),
    ),
    Mutant(
        "new campaign: a launch that is refused leaves a draft",
        "campaigns/views/new_campaign.py",
        "    with transaction.atomic():\n        now = database_now()",
        "    if True:\n        now = database_now()",
        (FORM, "-k", "one_click_creates"),
    ),
)
