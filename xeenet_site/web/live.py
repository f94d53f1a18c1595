"""Pages that refresh by what changed: a few hundred bytes instead of the whole page.

The fragment of such a page consists of parts, each one element with an id between {% part %} and
{% endpart %}. A part may lie in another. On the page each has the hash of its own markup in
`data-v`; the outermost has `{% live_attributes %}`, too. `live.js` sends the hashes that it holds
in one header, and gets JSON:

| key      | what                                                                              |
|----------|-----------------------------------------------------------------------------------|
| `parts`  | markup by id, of the parts whose hash the page does not hold                      |
| `rows`   | for each changed `{% part rows %}` its hash, and the ids of its children in order  |
| `points` | what the page's chart is to append, if the view has any; see `answer`             |
| `after`  | what the outermost part is to hold in `data-after`, if its view compares that      |
| `reload` | true: the page is of another version of the server, and must be loaded again      |

Status 204 says that nothing changed. A `{% part kept %}` is never sent again on its own: scripts
keep it up to date. A `{% part of row %}` or `{% part rows of rows %}` depends on these values
alone, which must be immutable: it is not rendered again while they are the same.

Times ("12 s ago") and CSRF tokens change at each rendering: no hash counts them. Other texts must
not change as time passes: "since 08:21", not "for 12 s".
"""

from __future__ import annotations

import base64
import gzip
import re
import secrets
import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final

from django.contrib.staticfiles.storage import staticfiles_storage
from django.http import HttpRequest, HttpResponse
from django.template.base import FilterExpression, Node, NodeList, Parser, Token
from django.template.context import Context
from django.template.exceptions import TemplateSyntaxError
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from xeenet_site.web.strict_json import strict_dumps

HEADER: Final = "X-XeeNet-Live"
# Changes when older pages can no longer read the answers.
PROTOCOL: Final = 1
NOTHING_CHANGED: Final = 204
HASH_BYTES: Final = 6
HASH_LETTERS: Final = 8
# Servers take headers of up to 8 kB. A longer one is answered as if the page held nothing.
MOST_HEADER: Final = 4096
_MOST_NUMBER: Final = 2**31
# Smaller answers are sent as they are: they fit into one packet.
_WORTH_COMPRESSING: Final = 1200
# Marks the place of a part inside another. Nobody can write it into a name: it is drawn at random.
_MARK: Final = secrets.token_hex(8)
_SLOT: Final = re.compile(rf"\x02{_MARK}([^\x02\x03]*)\x03")
_FIRST_TAG: Final = re.compile(r"<[a-zA-Z][\w-]*")
_ID: Final = re.compile(r'<[^>]*?\sid="([^"]+)"')
# What differs between two renderings of the same: the text of times, the form's tokens, and what
# scripts write.
_VOLATILE: Final = re.compile(
    r'(<time [^<>]*>)[^<]*|(name="csrfmiddlewaretoken" value="|\sdata-after=")[^"]*'
)
_VOLATILE_WORDS: Final = ("<time ", "csrfmiddlewaretoken", "data-after=")
_STACK: Final = "live_parts"
ROWS: Final = "rows"
KEPT: Final = "kept"
OF: Final = "of"
# So many renderings a process keeps of each {% part of … %}, of about 1 kB each, and of each
# {% part rows of … %}, of up to 100 kB.
_MOST_RENDERED: Final = 1_000
_MOST_ROWS_RENDERED: Final = 20


@dataclass(frozen=True)
class Part:
    """One part of a page. `own` is its markup with a mark in the place of each part inside."""

    key: str
    own: str
    kind: str
    parts: list[Part]

    @cached_property
    def digest(self) -> str:
        """The hash of the markup without the parts inside, which have hashes of their own."""
        text = "" if self.kind == KEPT else _stable(self.own)
        raw = blake2b(f"{self.key}\0{text}".encode(), digest_size=HASH_BYTES).digest()
        return base64.urlsafe_b64encode(raw).decode()

    @cached_property
    def markup(self) -> str:
        """All of its markup, with the hashes."""
        inside = {part.key: part for part in self.parts}
        tag = _FIRST_TAG.search(self.own)
        end = tag.end() if tag else 0
        hashed = f'{self.own[:end]} data-v="{self.digest}"{self.own[end:]}'
        return _SLOT.sub(lambda slot: inside[slot[1]].markup, hashed)


def _stable(own: str) -> str:
    marked = _SLOT.sub(r"<\1>", own) if _MARK in own else own
    # Finding a word is 100 times as fast as the expression is.
    if any(word in marked for word in _VOLATILE_WORDS):
        return _VOLATILE.sub(lambda match: match[1] or match[2], marked)
    return marked


class PartNode(Node):
    """{% part %}: renders a part, and hands it to the part around it or to the refresh."""

    def __init__(
        self, nodelist: NodeList, kind: str, depends: Sequence[FilterExpression] = ()
    ) -> None:
        self.nodelist = nodelist
        self.kind = kind
        self.depends = depends
        self._rendered: dict[Hashable, Part] = {}
        self._most = _MOST_ROWS_RENDERED if kind == ROWS else _MOST_RENDERED
        self._lock = threading.Lock()

    def render(self, context: Context) -> SafeString:
        part = self._part(context)
        around: list[Part] | None = context.get(_STACK)
        if around is None:
            return mark_safe(part.markup)  # noqa: S308 - what the template rendered
        around.append(part)
        return mark_safe(f"\x02{_MARK}{part.key}\x03")  # noqa: S308

    def _part(self, context: Context) -> Part:
        if not self.depends:
            return self._render(context)
        key = tuple(value.resolve(context, ignore_failures=True) for value in self.depends)
        part = self._rendered.get(key)
        if part is None:
            part = self._render(context)
            with self._lock:
                while len(self._rendered) >= self._most:
                    del self._rendered[next(iter(self._rendered))]  # the oldest
                self._rendered[key] = part
        return part

    def _render(self, context: Context) -> Part:
        inside: list[Part] = []
        with context.push(**{_STACK: inside}):
            own = self.nodelist.render(context).strip()
        named = _ID.match(own)
        if named is None:
            raise TemplateSyntaxError(f"A part must be one element with an id: {own[:80]}")
        return Part(named[1], own, self.kind, inside)


def parse_part(parser: Parser, token: Token) -> PartNode:
    """Compile {% part %}, {% part of … %}, {% part rows %}, {% part rows of … %}, {% part kept %}.

    Raises TemplateSyntaxError.
    """
    words = token.split_contents()[1:]
    kind = words.pop(0) if words and words[0] in {ROWS, KEPT} else ""
    values = words[1:]
    if words and (words[0] != OF or not values or kind == KEPT):
        raise TemplateSyntaxError(
            "A part is of no kind, rows, kept, or of values, not "
            f"{' '.join(token.split_contents()[1:])}."
        )
    nodelist = parser.parse(("endpart",))
    parser.delete_first_token()
    return PartNode(nodelist, kind, [parser.compile_filter(value) for value in values])


def attributes(request: HttpRequest, seconds: int, url: str = "") -> SafeString:
    """Return the attributes of an outermost part, which refreshes itself every `seconds`.

    It asks this page, or the address given. A page may have several such parts, none in another.
    """
    return format_html(
        'data-live="{}" data-live-url="{}" data-live-seconds="{}"',
        version(),
        url or request.get_full_path(),
        seconds,
    )


def version() -> str:
    """Return what tells this server's pages from those of another: protocol and static files."""
    return f"{PROTOCOL}-{getattr(staticfiles_storage, 'manifest_hash', '') or 'dev'}"


def is_refresh(request: HttpRequest) -> bool:
    """Return whether a page that is already shown asks for what changed."""
    return HEADER in request.headers


@dataclass(frozen=True)
class Held:
    """What a page says that it holds: its version, its `data-after`, and hashes.

    `after` is a number that its view knows: of the chart's newest point, or of a revision.
    """

    version: str
    after: int | None
    hashes: Collection[str]


def held_by(request: HttpRequest) -> Held:
    """Read the header. A hash of another page is none of ours; an unusable header holds nothing."""
    text = request.headers.get(HEADER, "")
    page, _, rest = text.partition(" ")
    after, _, hashes = rest.partition(" ")
    if len(text) > MOST_HEADER:
        return Held(page[:MOST_HEADER], None, ())
    is_number = after.isascii() and after.isdecimal() and int(after) < _MOST_NUMBER
    cut = range(0, len(hashes), HASH_LETTERS)
    held = frozenset(hashes[start : start + HASH_LETTERS] for start in cut)
    return Held(page, int(after) if is_number else None, held)


def answer(
    request: HttpRequest,
    fragment: str,
    context: dict[str, Any],
    *,
    points: Callable[[int], dict[str, Any] | None] | None = None,
    after: str = "",
) -> HttpResponse:
    """Return what changed of the page's fragment since the state that the request says it holds.

    `points` gets the number of the newest point that the page's chart has, and returns what
    followed, or None. `after` is what the outermost part is to hold in `data-after`, "" without it.
    """
    held = held_by(request)
    if held.version != version():
        return _json(request, {"reload": True})
    parts: list[Part] = []
    render_to_string(fragment, context | {_STACK: parts}, request)
    news: dict[str, Any] = {"parts": {}, "rows": {}}
    _collect(parts, held.hashes, news)
    if points is not None and held.after is not None:
        news["points"] = points(held.after)
    if after and after != ("-" if held.after is None else str(held.after)):
        news["after"] = after
    news = {name: value for name, value in news.items() if value}
    if not news:
        return HttpResponse(status=NOTHING_CHANGED)
    return _json(request, news)


def _collect(parts: Iterable[Part], held: Collection[str], news: dict[str, Any]) -> None:
    for part in parts:
        if part.digest not in held:
            if part.kind == KEPT:
                continue
            if part.kind != ROWS:
                news["parts"][part.key] = part.markup
                continue
            news["rows"][part.key] = {"v": part.digest, "order": [row.key for row in part.parts]}
        _collect(part.parts, held, news)


def _json(request: HttpRequest, news: dict[str, Any]) -> HttpResponse:
    content = strict_dumps(news, separators=(",", ":")).encode()
    response = HttpResponse(content, content_type="application/json")
    # The only secret in it, a form's token, is masked anew each time, so its length tells nothing.
    if len(content) > _WORTH_COMPRESSING and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.content = gzip.compress(content, compresslevel=6, mtime=0)
        response["Content-Encoding"] = "gzip"
    response["Cache-Control"] = "no-store"
    return response
