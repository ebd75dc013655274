"""Turns an Outcome into the JSON object that Heat accepts: complete, free of secrets, and always within Heat's bounds.
Pure.
"""

import json
import math
import re
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set
from urllib.parse import quote, quote_plus

from os_update_agent.model.deliveries import Outcome, Output
from os_update_agent.text.printable import printable, printable_lines

# All bounds are bytes of JSON text, quotes and escapes included. Heat refuses a body above 1 MiB, and puts error
# outputs into a column of 64 KiB: a larger one is lost in a background thread, after the 200.
TEXT_LIMIT = 32 * 1024
ERROR_LIMIT = 4 * 1024
BODY_LIMIT = 256 * 1024

_STDOUT, _STDERR, _STATUS_CODE = "deploy_stdout", "deploy_stderr", "deploy_status_code"
_OWN_KEYS = (_STDOUT, _STDERR, _STATUS_CODE)
_SHORTEST_SECRET = 4
_DEEPEST = 12
_LARGEST_INTEGER = 2**63

_Clean = Callable[[str], str]


def encode(outcome: Outcome, declared: Sequence[Output], *, full_text: str = "", secrets: Iterable[str] = ()) -> str:
    """The body of the signal for ``outcome``, at most 256 KiB of ASCII.

    ``declared`` are the SoftwareConfig's outputs: Heat keeps the old value of one that is not sent, so each is sent
    every time, and takes the mere presence of an ``error_output`` as failure, so those are sent on failure only.
    ``full_text`` is the path on the node where a text that must be cut can be read whole. Each of ``secrets`` is
    replaced by "***", however it is spelled.

    The text is what a plain json.dumps makes, so that heat-config-notify, which decodes and encodes it again, sends the
    same bytes.
    """
    clean = _cleaner(secrets)
    full_text = printable(clean(full_text))
    code = (
        outcome.status_code if type(outcome.status_code) is int and abs(outcome.status_code) < _LARGEST_INTEGER else 1
    )
    stdout, stderr = printable_lines(clean(outcome.stdout)), printable_lines(clean(outcome.stderr))
    body: Dict[str, Any] = {
        _STDOUT: _tail(stdout, TEXT_LIMIT, full_text),
        _STDERR: _tail(stderr, TEXT_LIMIT, full_text),
        _STATUS_CODE: code,
    }
    flagged = [output.name for output in declared if output.error_output and output.name not in _OWN_KEYS]
    others = {*flagged, *_OWN_KEYS}
    plain = [output.name for output in declared if output.name not in others]
    errors = (
        {flagged[0]: _head(complaint(stderr) or f"The status code is {code}.", ERROR_LIMIT)}
        if code != 0 and flagged
        else {}
    )
    values = {name: _plain(outcome.outputs.get(name, ""), clean) for name in plain}
    return _assembled(body, values, errors, full_text)


def complaint(stderr: str) -> str:
    """What an error output says, and Heat in the stack's status reason: not the log's end, which comes after an empty
    line.
    """
    return stderr.strip().partition("\n\n")[0].strip()


def _assembled(body: Mapping[str, Any], values: Dict[str, Any], errors: Mapping[str, Any], full_text: str) -> str:
    text = json.dumps({**body, **values, **errors})
    if len(text) <= BODY_LIMIT:
        return text
    frame = len(json.dumps({**body, **dict.fromkeys(values, 0), **errors})) - len(values)
    text = json.dumps({**body, **_shared_out(values, BODY_LIMIT - frame, full_text), **errors})
    if len(text) <= BODY_LIMIT:
        return text
    # Only names can be so long, or so many, that this is reached: then the result itself matters more.
    return json.dumps({**body, **{name: value for name, value in errors.items() if _size(name) <= ERROR_LIMIT}})


def _shared_out(values: Dict[str, Any], limit: int, full_text: str) -> Dict[str, Any]:
    """The values, the largest of them shortened, so that all together fit: what a small one leaves over goes to the
    larger ones.
    """
    shortened = dict(values)
    names = sorted(values, key=lambda name: _size(values[name]))
    for position, name in enumerate(names):
        share = limit // (len(names) - position)
        shortened[name] = _shortened(values[name], share, full_text)
        limit -= _size(shortened[name])
    return shortened


def _shortened(value: Any, limit: int, full_text: str) -> Any:
    """The value in at most ``limit`` bytes: a list or a map's "changes" loses items from its end, a string its end."""
    if _fits(value, limit):
        return value
    if isinstance(value, str):
        return _head(value, limit)
    shorter = _with_fewer_items(value, limit)
    if shorter is not None:
        return shorter
    note = f"[too large for a signal: {_size(value)} bytes of JSON{_where(full_text)}]"
    return note if _size(note) <= limit else ""


def _with_fewer_items(value: Any, limit: int) -> Optional[Any]:
    """The value with as many of its items as fit and the count of those that do not, None when that is no way to make
    it fit.
    """
    if isinstance(value, list):
        items = value

        def build(kept: int) -> Any:
            return [*items[:kept], {"truncated": len(items) - kept}]

    elif isinstance(value, dict) and isinstance(value.get("changes"), list):
        items = value["changes"]
        gone = value["truncated"] if type(value.get("truncated")) is int else 0

        def build(kept: int) -> Any:
            return {**value, "changes": items[:kept], "truncated": len(items) - kept + gone}

    else:
        return None
    kept = _largest(len(items), limit, build)
    return None if kept is None else build(kept)


def _largest(most: int, limit: int, build: Callable[[int], Any]) -> Optional[int]:
    """The largest number up to ``most`` of which ``build`` makes something that fits into ``limit``; None when not even
    0 does.
    """
    if _size(build(0)) > limit:
        return None
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _size(build(middle)) <= limit else (low, middle - 1)
    return low


def _tail(text: str, limit: int, full_text: str) -> str:
    """The end of the text under a line that says how much is missing, or the text itself when it fits."""
    if _fits(text, limit):
        return text
    where = _where(full_text) if _size(_where(full_text)) <= limit // 2 else ""

    def build(kept: int) -> str:
        return f"[the first {len(text) - kept} characters are cut{where}]\n{text[len(text) - kept :]}"

    kept = _largest(min(limit, len(text)), limit, build) or 0
    start = len(text) - kept
    newline = text.find("\n", start - 1)
    # A whole first line is worth less than half of what can be shown.
    return build(len(text) - newline - 1) if 0 <= newline < start + kept // 2 else build(kept)


def _head(text: str, limit: int) -> str:
    """The start of the text above a line that says how long it is, or the text itself when it fits; "" when there is no
    room.
    """
    if _fits(text, limit):
        return text
    mark = f"\n[cut: {len(text)} characters in all]"
    kept = _largest(min(limit, len(text)), limit, lambda kept: text[:kept] + mark)
    if not kept:
        return ""
    newline = text.rfind("\n", kept // 2, kept + 1)
    return text[: kept if newline < 0 else newline] + mark


def _where(full_text: str) -> str:
    return f"; the whole text is in {full_text} on the node" if full_text else ""


def _fits(value: Any, limit: int) -> bool:
    return not (isinstance(value, str) and len(value) > limit) and _size(value) <= limit


def _size(value: Any) -> int:
    return len(json.dumps(value))


def _plain(value: Any, clean: _Clean, depth: int = 0) -> Any:
    """The value in JSON's own types, its strings clean. What JSON has no type for becomes text; what is nested too
    deeply is left out.
    """
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < _LARGEST_INTEGER else "[a number out of range]"
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if depth >= _DEEPEST:
        return "[nested too deeply]"
    if isinstance(value, Mapping):
        return {clean(str(key)): _plain(item, clean, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, clean, depth + 1) for item in value]
    return clean(str(value))


def _cleaner(secrets: Iterable[str]) -> _Clean:
    """A function that takes secrets out of a text, and what a database or an UTF-8 encoder would choke on."""
    spellings: Set[str] = set()
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            spellings.update(_spellings(secret))
    longest_first: List[str] = sorted(spellings, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def clean(text: str) -> str:
        if pattern is not None:
            text = pattern.sub("***", text)
        return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")

    return clean


def _spellings(secret: str) -> Iterable[str]:
    """The secret itself, and as it looks inside a URL or inside JSON."""
    yield secret
    for ascii_only in (True, False):
        yield json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
    raw = secret.encode("utf-8", "surrogatepass")
    for quoted in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield quoted
        yield re.sub(r"%[0-9A-F]{2}", lambda escape: escape[0].lower(), quoted)
