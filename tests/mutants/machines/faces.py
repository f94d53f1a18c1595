"""Guards of the agent's status, its card, and the notes on results."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_FILES = "tests/agent/status/test_files.py"

FACES: Final = (
    Mutant(
        "status: another process with the same number is taken for the agent",
        "workers/agent/status/living.py",
        "    if not now or now == mark:",
        "    if True:",
        (_FILES, "-k", "told_from_a_dead_one"),
    ),
    Mutant(
        "status: a file of a newer schema is read",
        "workers/agent/status/encoding.py",
        "    if schema > SCHEMA:",
        "    if False:",
        (_FILES, "-k", "no_status_says_why"),
    ),
    Mutant(
        "status: everybody may read the file",
        "workers/agent/status/file.py",
        "mode=0o600",
        "mode=0o644",
        (_FILES, "-k", "private"),
    ),
    Mutant(
        "status: each change is a write",
        "workers/agent/status/file.py",
        "            self._ending.wait(WRITE_SECONDS)\n",
        "",
        (_FILES, "-k", "few_writes"),
    ),
    Mutant(
        "status: a full disk stops the agent",
        "workers/agent/status/file.py",
        "        except (OSError, ValueError) as error:",
        "        except ValueError as error:",
        (_FILES, "-k", "full_disk"),
    ),
    Mutant(
        "history: a line is joined to a torn one",
        "workers/agent/status/history.py",
        'file.write(b"\\n" + line if torn else line)',
        "file.write(line)",
        (_FILES, "-k", "torn_line"),
    ),
    Mutant(
        "history: it grows for ever",
        "workers/agent/status/history.py",
        "if self._lines >= 2 * MAX_ENTRIES or self._bytes",
        "if self._bytes",
        (_FILES, "-k", "bounded"),
    ),
    Mutant(
        "status: the same answer counts twice",
        "workers/agent/status/changes.py",
        "    if is_new and accepted:",
        "    if accepted:",
        ("tests/agent/status/test_changes.py", "-k", "servers_answer"),
    ),
    Mutant(
        "pause: tasks are claimed in a pause of the owner",
        "workers/agent/loop.py",
        "if not is_paused and self._may_claim():",
        "if self._may_claim():",
        ("tests/agent/test_pauses.py", "-k", "claims_nothing"),
    ),
    Mutant(
        "card: one key stops the agent",
        "workers/agent/card/app.py",
        '        elif key == "q":\n            self._prompt = _STOP_PROMPT',
        '        elif key == "q":\n            self._stop()',
        ("tests/agent/status/test_card.py", "-k", "single_key"),
    ),
    Mutant(
        "card: what somebody wrote reaches the terminal as it is",
        "workers/agent/card/layout.py",
        "        safe = words.safe(text)\n",
        "        safe = text\n",
        ("tests/agent/status/test_card.py", "-k", "plain_text"),
    ),
    Mutant(
        "card: a card that fails takes the agent with it",
        "workers/agent/card/session.py",
        "        except Exception:\n",
        "        except ZeroDivisionError:\n",
        ("tests/agent/status/test_session.py", "-k", "card_that_fails"),
    ),
    Mutant(
        "replies: a note of a wrong type costs the result",
        "workers/agent/connection/replies.py",
        'short(note, MAX_TEXT_CHARACTERS) if isinstance(note, str) else ""',
        "short(note, MAX_TEXT_CHARACTERS) if isinstance(note, str) else note[0]",
        ("tests/agent/connection/test_replies.py", "-k", "note"),
    ),
    Mutant(
        "notes: a replay that stands for nothing counts",
        "campaigns/lifecycle/receipts.py",
        "        if stands_in:",
        "        if True:",
        ("tests/lifecycle/test_receipts.py", "-k", "replay"),
    ),
    Mutant(
        "notes: the answer given again has no note",
        "campaigns/lifecycle/submissions.py",
        'stored["message"], stored.get("note", ""))',
        'stored["message"])',
        ("tests/lifecycle/test_receipts.py", "-k", "same_note"),
    ),
)
