"""Regular expressions on RE2, which pyarrow brings along.

RE2 takes time that grows with the length of the text alone, whatever the pattern and the text: no content can make it
hang. Python's `re` tries again and again on some pairs; the package `regex` does so up to a timeout, which an attacker
would use up for every post.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc


def why_unusable(pattern: str) -> str | None:
    """What RE2 has against a pattern; None where it takes it."""
    try:
        matched = pc.call_function("match_substring_regex", [pa.array([""])], pc.MatchSubstringOptions(pattern))
    except pa.ArrowInvalid as error:
        return f"{error}; RE2 has no back-references and no look-around"
    return "it matches the empty text, so every text" if matched[0].as_py() else None


def first_matches(pattern: str, texts: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """The first match in each text that has one: number of the text, start and end in its characters."""
    data = [text.encode("utf-8", "replace") for text in texts]
    strings = pa.array([one.decode("utf-8") for one in data], pa.large_string())
    starts = pc.call_function("find_substring_regex", [strings], pc.MatchSubstringOptions(pattern)).to_pylist()
    found = [number for number, start in enumerate(starts) if start >= 0]
    if not found:
        return
    # The length of a match is what is missing when it is replaced by nothing.
    once = pc.ReplaceSubstringOptions(f"(?:{pattern})", "", max_replacements=1)
    rest = pc.call_function("replace_substring_regex", [strings.take(pa.array(found))], once)
    for number, left in zip(found, pc.call_function("binary_length", [rest]).to_pylist(), strict=True):
        start, end = starts[number], starts[number] + len(data[number]) - left
        yield number, _characters(data[number][:start]), _characters(data[number][:end])


def _characters(data: bytes) -> int:
    return len(data.decode("utf-8", "ignore"))
