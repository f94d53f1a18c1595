"""Documents with a part that a program writes, between two marks."""

from pathlib import Path


def write_between(document: Path, begin: str, end: str, text: str) -> None:
    """Write the text between the document's marks. Raises ValueError if it has no marks."""
    whole = document.read_text()
    before, begin_mark, rest = whole.partition(begin)
    _, end_mark, after = rest.partition(end)
    if not begin_mark or not end_mark:
        raise ValueError(f"{document} has no lines {begin} and {end} to write between.")
    document.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
