"""How pages write numbers, times and states."""

import pytest
from django.template import Context, Template

from campaigns.models import AttemptOutcome, CampaignState, TaskState
from campaigns.templatetags import xeenet
from experiments.metrics import VAL_BPB
from tests.factories import NOW, at
from tests.second_metric import TOKENS_PER_SECOND
from workers.models import WorkerState
from xeenet_site.web import formats


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.004, "0.004 s"),
        (0.42, "0.42 s"),
        (0, "0 s"),
        (9.84, "9.8 s"),
        (10, "10 s"),
        (59.97, "1 m 00 s"),
        (72, "1 m 12 s"),
        (3599.6, "1 h 00 m"),
        (3 * 3600 + 5 * 60, "3 h 05 m"),
        (2 * 86_400 + 4 * 3600 + 59, "2 d 4 h"),
    ],
)
def test_a_duration_is_written_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert formats.duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "now"), (12, "12 s ago"), (90, "1 m ago"), (7300, "2 h ago"), (2e5, "2 d ago")],
)
def test_an_instant_is_written_relative_to_now_with_the_exact_time_on_hover(
    seconds: float, words: str
) -> None:
    written = formats.ago(NOW, at(seconds))
    assert f">{words}</time>" in written
    assert 'title="2026-01-05 12:00:00 UTC"' in written


def test_an_instant_to_come_is_written_as_such() -> None:
    assert ">in 1 m</time>" in formats.ago(at(60), NOW)


def test_a_value_has_the_decimals_of_its_metric_or_a_reason() -> None:
    assert xeenet.measured(3.2, VAL_BPB) == "3.2000"
    assert xeenet.measured(51_200.04, TOKENS_PER_SECOND) == "51200.0"
    assert xeenet.measured(0.0, VAL_BPB) == "0.0000"


@pytest.mark.parametrize("missing", ["nothing", "there.is.no.such.thing"])
def test_an_unknown_value_is_a_dash_that_says_why(missing: str) -> None:
    template = Template("{% load xeenet %}{% measured " + missing + ' spec "nobody measured it" %}')
    written = template.render(Context({"nothing": None, "spec": VAL_BPB}))
    assert written == '<abbr class="soft" title="nobody measured it">—</abbr>'


def test_counts_have_thin_spaces() -> None:
    assert formats.count(1_115_394) == "1\u202f115\u202f394"


@pytest.mark.parametrize(("rate", "words"), [(0.416, "0.42"), (7.5, "7.5"), (1312.4, "1\u202f312")])
def test_a_rate_has_as_many_digits_as_it_is_worth(rate: float, words: str) -> None:
    assert formats.rate(rate) == words


@pytest.mark.parametrize(("amount", "words"), [(999, "999 B"), (1_115_394, "1.12 MB")])
def test_bytes_are_written_in_decimal_units(amount: int, words: str) -> None:
    assert formats.size(amount) == words


@pytest.mark.parametrize(
    ("param", "words"), [(0.001248, "0.001248"), ("cosine", "cosine"), (True, "true"), (64, "64")]
)
def test_a_param_is_written_as_the_config_file_has_it(param: object, words: str) -> None:
    assert formats.value(param) == words


@pytest.mark.parametrize("name", ["count", "duration", "rate", "decimals", "size"])
@pytest.mark.parametrize("missing", ["nothing", "there.is.no.such.thing"])
def test_an_unknown_number_is_a_dash_that_says_why(name: str, missing: str) -> None:
    template = Template("{% load xeenet %}{{ " + missing + "|" + name + ':"nobody measured it" }}')
    written = template.render(Context({"nothing": None}))
    assert "—" in written
    assert "nobody measured it" in written


WORDS = {*CampaignState.values, *TaskState.values, *AttemptOutcome.values, *WorkerState.values}


@pytest.mark.parametrize("state", sorted(WORDS))
def test_every_state_and_outcome_has_a_chip_with_a_shape_and_a_word(state: str) -> None:
    written = formats.chip(state)
    assert f"</svg>{state}</span>" in written
    assert "<path" in written


def test_the_text_of_a_chip_is_escaped() -> None:
    assert "<b>" not in formats.chip("paused", "<b>", '"><b>')
