"""Pages that refresh by what changed: parts, hashes, and answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.template import engines
from django.template.exceptions import TemplateSyntaxError
from django.test import RequestFactory
from django.utils.html import escape

from xeenet_site.web import live

PAGE = """{% load xeenet %}{% part %}<div id="page" {% live_attributes 3 %}>
{% part %}<p id="first" title="{{ name }}">{{ first }} <time datetime="x">{{ age }}</time></p>
{% endpart %}
<form>{% csrf_token %}</form>{% if more %}<b>more</b>{% endif %}
{% part kept %}<span id="clock">{{ age }}</span>{% endpart %}
<table>{% part rows %}<tbody id="rows">{% for row in rows %}
{% part %}<tr id="row-{{ row.0 }}"><td>{{ row.1 }}</td></tr>{% endpart %}{% endfor %}
</tbody>{% endpart %}</table>
</div>{% endpart %}"""
STATE: dict[str, Any] = {
    "name": "n",
    "first": "one",
    "age": "2 s ago",
    "rows": [(1, "a"), (2, "b")],
}
ADDRESS = "/page/?x=1&y=<"
Points = Callable[[int], dict[str, Any] | None]


@pytest.fixture(autouse=True)
def template(monkeypatch: pytest.MonkeyPatch) -> Any:
    compiled = engines["django"].from_string(PAGE)
    monkeypatch.setattr(
        live, "render_to_string", lambda _, context, request: compiled.render(context, request)
    )
    return compiled


def shown(template: Any, **changes: Any) -> str:
    request = RequestFactory().get(ADDRESS)
    markup: str = template.render(STATE | changes, request)
    return markup


def hashes_in(markup: str) -> str:
    return "".join(part.partition('"')[0] for part in markup.split('data-v="')[1:])


def ask(
    held: str, *, after: str = "-", version: str = "", points: Points | None = None, **changes: Any
) -> HttpResponse:
    header = f"{version or live.version()} {after} {held}"
    request = RequestFactory().get(ADDRESS, headers={live.HEADER: header})
    return live.answer(request, "page.html", STATE | changes, points=points)


def news(answer: HttpResponse) -> dict[str, Any]:
    assert answer.status_code == 200
    data: dict[str, Any] = json.loads(answer.content)
    return data


def test_a_whole_page_has_the_hash_of_each_part_and_what_the_script_needs(template: Any) -> None:
    markup = shown(template)
    assert len(hashes_in(markup)) == 6 * live.HASH_LETTERS
    assert '<tr data-v="' in markup
    assert 'data-live-url="/page/?x=1&amp;y=%3C" data-live-seconds="3"' in markup
    assert "\x02" not in markup


def test_nothing_is_sent_when_only_times_and_tokens_differ(template: Any) -> None:
    held = hashes_in(shown(template))
    answer = ask(held, age="5 s ago")
    assert (answer.status_code, answer.content) == (204, b"")


def test_only_the_part_that_changed_is_sent(template: Any) -> None:
    held = hashes_in(shown(template))
    changed = news(ask(held, first="two"))
    assert list(changed) == ["parts"]
    assert list(changed["parts"]) == ["first"]
    assert changed["parts"]["first"].startswith('<p data-v="')
    # The page that has it now gets nothing more.
    held_now = held + hashes_in(changed["parts"]["first"])
    assert ask(held_now, first="two").status_code == 204


def test_a_changed_row_a_new_one_and_one_that_went_come_with_the_order(template: Any) -> None:
    held = hashes_in(shown(template))
    changed = news(ask(held, rows=[(2, "b"), (1, "changed"), (3, "c")]))
    assert changed["rows"]["rows"]["order"] == ["row-2", "row-1", "row-3"]
    assert list(changed["parts"]) == ["row-1", "row-3"]
    gone = news(ask(held, rows=[(2, "b")]))
    assert gone["rows"]["rows"]["order"] == ["row-2"]
    assert ask(held + gone["rows"]["rows"]["v"], rows=[(2, "b")]).status_code == 204


def test_a_change_between_the_parts_sends_the_part_around_them_whole(template: Any) -> None:
    changed = news(ask(hashes_in(shown(template)), more=True, age="9 s ago"))
    assert list(changed) == ["parts"]
    assert list(changed["parts"]) == ["page"]
    for inside in ("<b>more</b>", 'id="row-2"', '<span data-v="', "9 s ago"):
        assert inside in changed["parts"]["page"]


@pytest.mark.parametrize("held", ["", "AAAAAAAA", "x", "\u00e9" * 20, "A" * 3000])
def test_a_page_that_holds_none_of_it_gets_all(held: str) -> None:
    assert list(news(ask(held))["parts"]) == ["page"]


def test_a_header_that_is_too_long_is_answered_as_if_the_page_held_nothing(template: Any) -> None:
    held = hashes_in(shown(template))
    answer = ask(held + "A" * live.MOST_HEADER, after="7", points=lambda _: {"new": 1})
    assert list(news(answer)) == ["parts"]


def test_a_page_of_another_version_of_the_server_is_told_to_load_again(template: Any) -> None:
    held = hashes_in(shown(template))
    for version in ("0-old", "99"):
        assert news(ask(held, version=version)) == {"reload": True}


def test_points_follow_the_newest_that_the_page_has(template: Any) -> None:
    held = hashes_in(shown(template))
    asked = []

    def points(after: int) -> dict[str, Any] | None:
        asked.append(after)
        return {"from": after + 1, "value": float("nan")} if after < 9 else None

    assert news(ask(held, after="7", points=points)) == {"points": {"from": 8, "value": None}}
    assert ask(held, after="9", points=points).status_code == 204
    for unusable in ("-", "", "-3", "1e3", "9" * 30, "x"):
        assert ask(held, after=unusable, points=points).status_code == 204
    assert asked == [7, 9]


def test_a_name_cannot_stand_for_a_part(template: Any) -> None:
    name = '\x02rows\x03 <tr id="row-1">'
    markup = shown(template, first=name, name=name)
    assert escape(name) in markup
    assert markup.count('id="row-1"') == 1


def test_a_large_answer_is_compressed_for_those_who_can_read_it(template: Any) -> None:
    rows = [(number, "the same text") for number in range(200)]
    header = f"{live.version()} - {hashes_in(shown(template))}"
    headers = {live.HEADER: header, "Accept-Encoding": "br, gzip"}
    request = RequestFactory().get(ADDRESS, headers=headers)
    answer = live.answer(request, "page.html", STATE | {"rows": rows})
    assert answer["Content-Encoding"] == "gzip"
    assert len(answer.content) < 5000
    assert len(json.loads(gzip.decompress(answer.content))["rows"]["rows"]["order"]) == 200
    assert "Content-Encoding" not in ask("", rows=rows)
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{% part %}text{% endpart %}", "one element with an id"),
        ("{% part %}<p>text</p>{% endpart %}", "one element with an id"),
        ('{% part other %}<p id="a"></p>{% endpart %}', "of no kind, rows, kept, .* not other"),
        ('{% part of %}<p id="a"></p>{% endpart %}', "or of values, not of"),
        ('{% part rows x %}<p id="a"></p>{% endpart %}', "or of values, not rows x"),
        ('{% part rows of %}<p id="a"></p>{% endpart %}', "or of values, not rows of"),
        ('{% part kept of x %}<p id="a"></p>{% endpart %}', "or of values, not kept of x"),
    ],
)
def test_a_part_that_cannot_be_found_again_is_an_error(source: str, sentence: str) -> None:
    with pytest.raises(TemplateSyntaxError, match=sentence):
        engines["django"].from_string("{% load xeenet %}" + source).render({})


def test_a_part_of_values_is_rendered_again_only_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "_MOST_RENDERED", 2)
    source = (
        '{% load xeenet %}<div>{% part of row more.here %}<p id="p-{{ row }}">{{ row }} '
        "{{ count }}</p>{% endpart %}</div>"
    )
    template = engines["django"].from_string(source)
    counts = iter(range(100))

    def text(row: int, **more: Any) -> str:
        markup: str = template.render({"row": row, "count": lambda: next(counts), **more})
        return markup.rpartition(" ")[2].partition("<")[0]

    assert [text(1), text(1)] == ["0", "0"]
    assert text(1, more={"here": 5}) == "1"
    # No more than two are kept, so that the first has to make room.
    assert [text(2), text(1)] == ["2", "3"]


def test_rows_of_values_are_refreshed_like_others() -> None:
    source = PAGE.replace("{% part rows %}", "{% part rows of rows %}")
    template = engines["django"].from_string(source)
    rows = ((1, "a"), (2, "b"))
    first = shown(template, rows=rows)
    assert hashes_in(first) == hashes_in(shown(template, rows=rows))
    assert hashes_in(first) == hashes_in(shown(engines["django"].from_string(PAGE), rows=rows))
    assert "changed" in shown(template, rows=((1, "changed"), (2, "b")))


def test_a_kept_part_has_the_same_hashes_in_pages_and_refreshes() -> None:
    source = PAGE.replace("{% part %}<tr", "{% part of row %}<tr")
    template = engines["django"].from_string(source)
    first, second = shown(template), shown(template)
    assert (
        hashes_in(first)
        == hashes_in(second)
        == hashes_in(shown(engines["django"].from_string(PAGE)))
    )
