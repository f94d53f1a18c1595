"""The one look, as far as the style sheets show it: sizes, weights, colours, contrast, fonts."""

from __future__ import annotations

import colorsys
import itertools
import re
from pathlib import Path
from typing import Final

import pytest
from django.contrib.staticfiles import finders

from tests.processes import ROOT
from xeenet_site.web import formats

STYLES: Final = ROOT / "xeenet_site" / "static" / "xeenet"
SHEETS: Final = sorted(STYLES.glob("*.css"))
TOKENS: Final = (STYLES / "tokens.css").read_text()
SIZES_PX: Final = {12, 14, 16, 20, 28}
# The text in these colours, and the grounds on which it stands.
TEXTS: Final = (
    *("text", "text-soft", "accent", "accent-strong", "best"),
    *("pending", "running", "completed", "failed", "late", "simulated"),
)
GROUNDS: Final = ("ground", "surface", "raised", "sunken", "hover")

Colour = tuple[float, float, float]


def rules(sheet: Path) -> str:
    """Return a style sheet without its comments."""
    return re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.DOTALL)


def parsed(written: str) -> Colour:
    """Return a colour like "#0b5cad" as red, green and blue from 0 to 1."""
    red, green, blue = (int(written[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def tokens(theme: str) -> dict[str, Colour]:
    """Return the colours of `tokens.css` in "light" or "dark"."""
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", TOKENS)
    return {name: parsed(light if theme == "light" else dark) for name, light, dark in pairs}


def luminance(colour: Colour) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast of two colours as WCAG defines it, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def hue_and_saturation(colour: Colour) -> tuple[float, float]:
    hue, _, saturation = colorsys.rgb_to_hls(*colour)
    return 360 * hue, saturation


def test_the_five_sizes_are_those_of_the_brief() -> None:
    written = re.findall(r"--size-\w+: ([\d.]+)rem;", TOKENS)
    assert {float(size) * 16 for size in written} == SIZES_PX


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_no_style_sheet_writes_another_size_weight_or_family(sheet: Path) -> None:
    text = rules(sheet)
    faces = re.sub(r"@font-face \{.*?\}", "", text, flags=re.DOTALL)
    for size in re.findall(r"font-size:\s*([^;}]+)", faces):
        # 0 hides a word whose place a phone needs.
        assert re.fullmatch(r"var\(--size-\w+\)|inherit|0", size.strip()), size
    for short in re.findall(r"(?<![\w-])font:\s*([^;}]+)", faces):
        assert short.strip() == "inherit" or "var(--size-" in short, short
    for weight in re.findall(r"font-weight:\s*([^;}]+)", faces):
        # Browsers draw 600 from the only weight that is loaded; 500 would stay regular.
        assert weight.strip() in {"400", "600", "inherit"}, weight
    for family in re.findall(r"font-family:\s*([^;}]+)", faces):
        assert family.strip() in {"var(--sans)", "var(--mono)", "inherit"}, family


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_colours_are_tokens_that_have_both_themes(sheet: Path) -> None:
    text = re.sub(r"light-dark\(#\w{6}, #\w{6}\)", "", rules(sheet))
    # Shadows and the veil behind dialogs are black in both themes.
    text = re.sub(r"rgb\(0 0 0 / [\d.]+%?\)|#0000\b", "", text)
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[\s;,)])|rgb\(|hsl\(", text) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_every_colour_on_every_ground(theme: str) -> None:
    colours = tokens(theme)
    pairs = list(itertools.product(TEXTS, GROUNDS))
    pairs += [("on-accent", "accent"), ("on-accent", "accent-strong"), ("text", "best-tint")]
    pairs += [(state, f"{state}-tint") for state in ("running", "failed", "late", "simulated")]
    poor = {
        pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2)
        for pair in pairs
        if contrast(colours[pair[0]], colours[pair[1]]) < 4.5
    }
    assert poor == {}


def test_the_best_is_the_same_blue_in_both_themes() -> None:
    hues = [hue_and_saturation(tokens(theme)["best"])[0] for theme in ("light", "dark")]
    assert all(200 <= hue <= 220 for hue in hues), hues
    assert "--scale-0: var(--best);" in TOKENS


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_worse_values_fade_into_the_ground(theme: str) -> None:
    colours = tokens(theme)
    steps = [colours["best"], *(colours[f"scale-{step}"] for step in range(1, 5))]
    contrasts = [contrast(step, colours["ground"]) for step in steps]
    assert contrasts == sorted(contrasts, reverse=True)
    assert contrasts[-1] > 1.3  # the worst is still seen


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_waits_or_is_done_is_grey_and_only_the_rest_has_a_colour(theme: str) -> None:
    colours = tokens(theme)
    for name in ("pending", "completed", "pending-tint", "completed-tint"):
        assert hue_and_saturation(colours[name])[1] < 0.15, name
    for name in ("running", "failed", "late", "simulated"):
        assert hue_and_saturation(colours[name])[1] > 0.3, name


def test_a_completed_task_is_told_from_a_waiting_one_by_its_tick() -> None:
    completed, pending = formats.chip("completed"), formats.chip("pending")
    assert 'class="chip completed"' in completed
    path = re.compile(r' d="([^"]+)"')
    assert path.findall(completed) != path.findall(pending)


def test_the_fonts_lie_in_installed_packages_and_none_in_the_repository() -> None:
    for url in re.findall(r'url\("\.\./([^"]+)"\)', TOKENS):
        found = finders.find(url)
        assert found, url
        assert "site-packages" in found
    ours = ("campaigns", "docs", "templates", "tests", "workers", "xeenet_site")
    kept = [path for folder in ours for path in (ROOT / folder).rglob("*.*")]
    assert [path for path in kept if path.suffix in {".woff", ".woff2", ".ttf", ".otf"}] == []


def test_no_new_row_restyles_every_cell_of_its_table() -> None:
    """For a rule such as `dialog > * + *` browsers restyle all below what a new element is in."""
    for sheet in SHEETS:
        assert not re.findall(r"(?:\*|\btr)\s*\+[^{]*", rules(sheet)), sheet.name
