"""Every claim goes through campaigns/race: no other text says who is best, ahead or a winner."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLAIM = re.compile(
    r"\b(best|ahead|leads?|leaders?|leading|matters?|winners?|wins?|won|better|beats?|beaten"
    r"|outperforms?|champions?|superior)\b",
    re.IGNORECASE,
)
IS_BETTER = "says which direction of the metric is wanted"
EXPLAINS = "explains a field or a word of a decision, claims nothing of an arm"
RULE = "says by which rule arms race, and with which settings"
PLAUSIBLE = "compares a value with what models reach on the data set, not with another arm"
# File → part of the text, and why it is no claim. An entry that fits nothing fails, too.
ALLOWED = {
    ("campaigns/jobs.py", "importance computed ahead"): "ahead of being asked",
    ("campaigns/lifecycle/completions.py", "is better than models reach"): PLAUSIBLE,
    ("campaigns/management/race_verbs.py", "leader arm "): "prints a stored decision",
    ("campaigns/management/terminal.py", " is better"): IS_BETTER,
    ("campaigns/search/sweeps.py", " is better"): IS_BETTER,
    ("campaigns/serializers/arms.py", "champion, tie group, proven behind"): EXPLAINS,
    ("campaigns/serializers/campaigns.py", "better than models reach"): PLAUSIBLE,
    ("campaigns/serializers/compare.py", "Which arm is ahead"): EXPLAINS,
    ("campaigns/serializers/overview.py", "race value of a champion"): EXPLAINS,
    ("campaigns/serializers/races.py", "never proven behind it"): EXPLAINS,
    ("campaigns/serializers/races.py", "nobody beat them"): EXPLAINS,
    ("campaigns/serializers/races.py", "the rest of a champion's"): EXPLAINS,
    ("campaigns/serializers/races.py", "nearest to the leader"): EXPLAINS,
    ("campaigns/templatetags/xeenet.py", " is better."): IS_BETTER,
    ("campaigns/management/commands/create_campaign.py", "let the best race"): RULE,
    ("campaigns/management/race_verbs.py", "let the best race"): RULE,
    ("campaigns/management/race_verbs.py", "smallest difference that matters"): RULE,
    ("campaigns/serializers/campaigns.py", "Whether the best arms race"): RULE,
    ("campaigns/views/new_campaign_form.py", "Race of the best"): RULE,
    ("campaigns/views/new_campaign_form.py", "the best race on fresh seeds"): RULE,
    ("campaigns/views/new_campaign_form.py", "difference that matters"): RULE,
    ("campaigns/views/board.py", "The best race by themselves"): RULE,
    ("campaigns/views/board.py", "the race of the best"): RULE,
    ("campaigns/views/verbs.py", "the smallest difference that matters"): RULE,
    ("campaigns/views/webhooks.py", "New lead"): "the name of an event of webhooks",
    ("campaigns/views/webhooks.py", "with a champion, a tie"): "the name of an event of webhooks",
    ("templates/campaigns/_head_dialogs.html", "the race of the best"): RULE,
    ("templates/campaigns/_race_options.html", "The best race by themselves"): RULE,
    ("templates/campaigns/_race_options.html", "difference that matters"): RULE,
    ("xeenet_site/management/commands/demo.py", "a race of the best"): RULE,
    ("campaigns/views/webhooks.py", "takes the lead of its campaign"): "as above",
    ("experiments/catalog.py", "validation bits per byte are better"): IS_BETTER,
    ("templates/_overview.html", "a champion is proven"): EXPLAINS,
    ("templates/campaigns/_task.html", "better than models reach"): PLAUSIBLE,
}

# The texts of webhooks: their events are named for what a single run reached.
NOT_READ = {"campaigns/notifications/events.py"}


def phrases_of(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of more than one word, without docstrings."""
    parents = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, parents) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in docs:
            continue
        text = node.value
        # A single word is a key; with a space at its end it is a part of a sentence.
        if isinstance(text, str) and (" " in text.strip() or text != text.strip()):
            yield text


def words_of(template: str) -> str:
    """Return what a reader sees of a template, attributes that are shown or read included."""
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", " ", template, flags=re.DOTALL)
    shown = re.findall(r'(?:title|aria-label|placeholder|alt|value)="([^"]*)"', text)
    return " ".join([re.sub(r"<[^>]*>", " ", text), *shown])


def claims() -> Iterator[tuple[str, str]]:
    """Yield (file, text around the word) of everything that may be a claim."""
    for package in ("campaigns", "workers", "xeenet_site", "experiments"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith("campaigns/race/") or "/migrations/" in name or name in NOT_READ:
                continue
            for text in phrases_of(ast.parse(path.read_text())):
                if CLAIM.search(text):
                    yield name, text
    for path in sorted((ROOT / "templates").rglob("*.html")):
        words = words_of(path.read_text())
        for match in CLAIM.finditer(words):
            around = words[max(0, match.start() - 40) : match.end() + 40]
            yield path.relative_to(ROOT).as_posix(), around


def test_no_text_claims_anything_outside_of_the_door() -> None:
    found = list(claims())
    unknown = [
        (name, text)
        for name, text in found
        if not any(name == file and part in text for file, part in ALLOWED)
    ]
    assert unknown == [], "let campaigns/race/ write it, or say in ALLOWED why it claims nothing"
    stale = [
        (file, part)
        for file, part in ALLOWED
        if not any(name == file and part in text for name, text in found)
    ]
    assert stale == []


def test_the_search_sees_claims() -> None:
    tree = ast.parse('"""The best module."""\nx = f"{name} wins by {gap}"\nkey = "best"')
    assert [text for text in phrases_of(tree) if CLAIM.search(text)] == [" wins by "]
    assert CLAIM.search(words_of('<a title="the Leader">{{ best }}</a>'))
    assert not CLAIM.search(words_of('<a href="/best/">{% if best %}x{% endif %}</a>'))
