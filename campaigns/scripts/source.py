"""Check the source of a training script without running it: can a person rely on reading it? Pure.

An operator approves what the page shows. So the file must hold nothing that a page hides or shows
differently from how Python reads it: no other encoding, no invisible characters or changes of the
text's direction, no appended archive (Python would run the archive), no line too long to be seen.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
import unicodedata
import warnings
from typing import Final

MAX_SCRIPT_BYTES: Final = 256 * 1024
MAX_LINE_CHARACTERS: Final = 500
MAX_NAME_CHARACTERS: Final = 100
_WHITE_SPACE: Final = frozenset("\t\n\r")
# The Unicode categories that a script must not contain: control (Cc), format (Cf: text direction,
# zero width), surrogate (Cs), private (Co), unassigned (Cn), line and paragraph separator (Zl, Zp).
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# The first bytes of archives and programs.
_ARCHIVES: Final = {
    b"PK\x03\x04": "a zip file",
    b"PK\x05\x06": "a zip file",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"7z\xbc\xaf": "a 7z file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"Rar!": "a rar file",
    b"\x7fELF": "a program",
    b"MZ": "a program",
}
_TAR_MARK: Final = slice(257, 262)


def source_problems(source: bytes) -> list[str]:
    """Return why these bytes cannot be approved by reading, one sentence each; [] when they can.

    Only the first group of reasons that applies is returned: what is not text has no imports.
    """
    if not source.strip():
        return ["The script is empty."]
    if len(source) > MAX_SCRIPT_BYTES:
        return [f"The script is larger than {MAX_SCRIPT_BYTES // 1024} KiB."]
    if archive := _archive(source):
        return [f"This is {archive}; send the text of one .py file."]
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError as error:
        return [f"The script is not UTF-8 text: byte {error.start} is wrong."]
    return _text_problems(text) or _python_problems(text)


def _archive(source: bytes) -> str:
    """Return which archive or program this is; "" for what may be text."""
    for start, words in _ARCHIVES.items():
        if source.startswith(start):
            return words
    return "a tar file" if source[_TAR_MARK] == b"ustar" else ""


def _text_problems(text: str) -> list[str]:
    """Return where a reader would see something other than what Python reads."""
    # `newline=None` ends a line wherever Python does, also at a lone \r.
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if len(line) > MAX_LINE_CHARACTERS:
            return [f"Line {number} is longer than {MAX_LINE_CHARACTERS} characters."]
        for character in line:
            hidden = unicodedata.category(character) in _HIDDEN and character not in _WHITE_SPACE
            if hidden:
                return [f"Line {number} holds U+{ord(character):04X}, which a reader cannot see."]
    return []


def _python_problems(text: str) -> list[str]:
    """Return why Python would reject the text, or why the script is not self-contained."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(text.encode()).readline)
    except SyntaxError as error:
        return [f"Its encoding line is wrong: {error.msg}."]
    if encoding != "utf-8":
        return [f"Its encoding line says {encoding}; a script is read and shown as UTF-8."]
    try:
        # The script's own warnings are its author's business, not this server's.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
            compile(tree, "<script>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return [f"Line {error.lineno} is not Python: {error.msg}."]
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        # Python's own message for such texts ("too many nested …") would name no line.
        return [f"Python cannot compile it: {type(error).__name__}."]
    problems = []
    if foreign := foreign_imports(tree):
        problems.append(
            f"It imports {', '.join(foreign)}; only the standard library and torch are available."
        )
    if strange := _names_not_ascii(text):
        problems.append(
            f"Line {strange.start[0]} has the name {strange.string[:50]!a}: names are ASCII, so "
            "that no two look alike."
        )
    return problems


def foreign_imports(tree: ast.AST) -> list[str]:
    """Return the top-level packages a script imports beyond the standard library and torch."""
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("." if node.level else str(node.module).partition(".")[0])
    return sorted(imported - set(sys.stdlib_module_names) - {"torch"})


def _names_not_ascii(text: str) -> tokenize.TokenInfo | None:
    tokens = tokenize.generate_tokens(io.StringIO(text, newline=None).readline)
    names = (token for token in tokens if token.type == tokenize.NAME)
    return next((name for name in names if not name.string.isascii()), None)


def name_problem(name: str) -> str:
    """Return why a script cannot have this name; "" when it can.

    A name is shown and sent but never used as a path: files are stored by their hash.
    """
    if not name.strip() or name != name.strip():
        return "must not be empty, nor start or end with a space"
    if len(name) > MAX_NAME_CHARACTERS:
        return f"must have at most {MAX_NAME_CHARACTERS} characters"
    if "/" in name or "\\" in name or name.startswith("."):
        return "must be a plain name: no slash, no backslash, no dot at its start"
    if not name.isprintable():
        return "must hold visible characters only"
    return ""
