"""What the checks with the providers' own SDKs share.

Each check holds two things against an SDK: the requests that the gateway sent to a provider of that kind must be what
the SDK's own types describe, and the fake provider's answers must be what the SDK accepts. So neither the gateway's
codecs nor the fake provider can be wrong in the same way as the other.

TOLLGATE_PROVIDER is the fake provider's address; TOLLGATE_REQUESTS names a file with one captured request a line, and
TOLLGATE_KINDS lists the kinds of provider that must be among them.
"""

import collections.abc
import json
import os
import types
import typing
from pathlib import Path
from typing import Any, Callable

from pydantic import BaseModel, TypeAdapter
from typing_extensions import NotRequired, Required, TypedDict, get_type_hints, is_typeddict

PROVIDER = os.environ["TOLLGATE_PROVIDER"]
KEY = "a-key"
PROMPT = "nonce=n"

# What the fake provider is asked for, and what it must have said.
RICH = "ok-3+think-2+calls-2+cached-2"
THINKING = "think:0 think:1 "
TEXT = "n:0 n:1 n:2 "
CALLS = [("lookup", {"n": 0}), ("lookup", {"n": 1})]
INPUT, OUTPUT, CACHED = 5, 7, 2
# The same of vectors: of two inputs, each of eight numbers, with a count for each.
EMBEDDED = ["one", "two"]
LENGTH, COUNT = 8, 8


def requests(*kinds: str) -> list[dict[str, Any]]:
    """The captured completions for those kinds, each with `path`, `headers` and `body`; some for each that must be there."""
    return captured(kinds, embed=False, fewest=5)


def embeddings(*kinds: str) -> list[dict[str, Any]]:
    """The same of requests for vectors."""
    return captured(kinds, embed=True, fewest=2)


def captured(kinds: tuple[str, ...], embed: bool, fewest: int) -> list[dict[str, Any]]:
    lines = Path(os.environ["TOLLGATE_REQUESTS"]).read_text().splitlines()
    ends = ("/embeddings", "/embed", ":batchEmbedContents", ":embedContent", ":predict", "/invoke")
    found = [request for request in map(json.loads, lines) if request["kind"] in kinds]
    found = [request for request in found if request["path"].endswith(ends) == embed]
    for kind in set(kinds) & set(os.environ["TOLLGATE_KINDS"].split()):
        count = sum(request["kind"] == kind for request in found)
        assert count >= fewest, f"{count} requests of kind {kind}"
        print(f"{count} requests of kind {kind}")
    return found


def described(shape: Any, value: Any, what: str) -> None:
    """Fails unless a type describes all of a JSON value: it must be valid, and nothing of it unknown to the type."""
    adapter = TypeAdapter(eager(shape, {}))
    valid = adapter.validate_python(value)
    nothing_extra(valid, what)
    again = json.loads(adapter.dump_json(valid, by_alias=True, exclude_unset=True))
    assert again == value, f"{what}: {again} is not {value}"


def eager(shape: Any, known: dict[Any, Any]) -> Any:
    """The same type with lists for iterables, which pydantic would look at only as they are read, and only once."""
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if is_typeddict(shape):
        if shape not in known:
            known[shape] = Any  # of itself, however deep, nothing is asked
            fields = {
                name: (Required if name in shape.__required_keys__ else NotRequired)[eager(inner, known)]
                for name, inner in get_type_hints(shape).items()
            }
            known[shape] = TypedDict(shape.__name__, fields)
        return known[shape]
    if origin is collections.abc.Iterable:
        return list[eager(arguments[0], known)]
    if origin in (typing.Union, types.UnionType):
        # Files are for the SDK to read: no request has one in it.
        told = [argument for argument in arguments if typing.get_origin(argument) not in (typing.IO, os.PathLike)]
        return typing.Union[tuple(eager(argument, known) for argument in told)]
    if origin in (list, dict, collections.abc.Sequence):
        return origin[tuple(eager(argument, known) for argument in arguments)]
    return shape


def nothing_extra(value: Any, what: str, known: frozenset[str] = frozenset()) -> None:
    """Fails where a model holds a field that its type does not name."""
    if isinstance(value, BaseModel):
        extra = set(value.model_extra or {}) - known
        assert not extra, f"{what}: {type(value).__name__} knows no {extra}"
        for name in value.model_fields_set:
            nothing_extra(getattr(value, name), f"{what}.{name}", known)
    elif isinstance(value, dict):
        for name, inner in value.items():
            nothing_extra(inner, f"{what}.{name}", known)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            nothing_extra(inner, f"{what}[{index}]", known)


def fails(kind: type[BaseException] | tuple[type[BaseException], ...], call: Callable[[], Any]) -> Any:
    """Makes a call that must fail in a certain way, and returns the failure."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind}")


def same(found: Any, expected: Any) -> None:
    assert found == expected, f"{found} is not {expected}"
