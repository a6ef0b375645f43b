"""Cohere's SDK as the judge of what is sent to Cohere, and of the fake provider's answers in that format.

It is the SDK's own client of the API's version 2, without the class around it that takes tokenizers along.
"""

import inspect
import json
import typing

import cohere.errors
import httpx
from cohere.core.client_wrapper import SyncClientWrapper
from cohere.v2.client import V2Client
from cohere.types import EmbedByTypeResponse
from cohere.v2.types import V2ChatResponse, V2ChatStreamResponse
from pydantic import TypeAdapter

import oracle
from oracle import CACHED, CALLS, COUNT, EMBEDDED, INPUT, KEY, LENGTH, OUTPUT, PROMPT, PROVIDER, RICH, TEXT, THINKING, fails, same

MESSAGES = [{"role": "user", "content": PROMPT}]


def check_call(call: typing.Callable, body: dict, path: str) -> None:
    """Fails unless the SDK's own method takes all of a body."""
    fields = set(inspect.signature(call).parameters) - {"self", "request_options"}
    types = typing.get_type_hints(call)
    unknown = set(body) - fields
    assert not unknown, f"{path}: the SDK knows no {unknown}"
    for name, value in body.items():
        oracle.described(types[name], value, f"{path} {name}")


def check_requests() -> None:
    for request in oracle.requests("cohere"):
        body = dict(request["body"])
        assert isinstance(body.pop("stream"), bool), body
        check_call(V2Client.chat, body, request["path"])
        assert request["path"].endswith("/chat"), request["path"]


def check_vectors(client: V2Client) -> None:
    for request in oracle.embeddings("cohere"):
        check_call(V2Client.embed, request["body"], request["path"])
        assert request["path"].endswith("/embed"), request["path"]
    for kind in ("float", "int8", "uint8", "ubinary"):
        answer = client.embed(model="ok", texts=EMBEDDED, input_type="search_query", embedding_types=[kind])
        oracle.nothing_extra(TypeAdapter(EmbedByTypeResponse).validate_python(answer.dict()), "vectors")
        vectors = getattr(answer.embeddings, "float_" if kind == "float" else kind)
        same([len(vector) for vector in vectors], [LENGTH // 8 if kind == "ubinary" else LENGTH] * len(EMBEDDED))
        same(answer.meta.billed_units.input_tokens, COUNT)


def check_answers(client: V2Client) -> None:
    answer = client.chat(model=RICH, messages=MESSAGES)
    # The SDK itself takes anything; its types do not.
    oracle.nothing_extra(TypeAdapter(V2ChatResponse).validate_python(answer.dict()), "answer")
    thinking, text = answer.message.content
    same((thinking.thinking, text.text), (THINKING, TEXT))
    same([(c.function.name, json.loads(c.function.arguments)) for c in answer.message.tool_calls], CALLS)
    same(answer.finish_reason, "TOOL_CALL")
    same((answer.usage.tokens.input_tokens, answer.usage.tokens.output_tokens), (INPUT, OUTPUT))
    same((answer.usage.billed_units.input_tokens, answer.usage.cached_tokens), (INPUT - 3, CACHED))

    events = list(client.chat_stream(model=RICH, messages=MESSAGES))
    adapter = TypeAdapter(V2ChatStreamResponse)
    for event in events:
        value = adapter.validate_python(event.dict())
        # The first event has empty lists that the types do not tell of.
        known = ["content", "tool_plan", "tool_calls", "citations"] if event.type == "message-start" else []
        oracle.nothing_extra(value, event.type, frozenset(known))
    blocks = [event.delta.message.content for event in events if event.type == "content-delta"]
    same("".join(block.text or "" for block in blocks), TEXT)
    same("".join(block.thinking or "" for block in blocks), THINKING)
    pieces = [event for event in events if event.type == "tool-call-delta"]
    arguments = ["", ""]
    for event in pieces:
        arguments[event.index] += event.delta.message.tool_calls.function.arguments
    same([json.loads(text) for text in arguments], [call[1] for call in CALLS])
    same((events[-1].type, events[-1].delta.usage.tokens.output_tokens), ("message-end", OUTPUT))


def check_errors(client: V2Client) -> None:
    once = {"max_retries": 0}

    def ask(model: str) -> object:
        return client.chat(model=model, messages=MESSAGES, request_options=once)

    fails(cohere.errors.TooManyRequestsError, lambda: ask("refuse-rate"))
    quota = fails(cohere.errors.TooManyRequestsError, lambda: ask("refuse-quota"))
    assert "month" in quota.body["message"], quota
    fails(cohere.errors.ServiceUnavailableError, lambda: ask("refuse-overload"))
    fails(cohere.errors.BadRequestError, lambda: ask("refuse-context"))
    fails(cohere.errors.InvalidTokenError, lambda: ask("refuse-filter"))
    fails(cohere.errors.UnauthorizedError, lambda: ask("refuse-key"))
    *_, last = client.chat_stream(model="error-in-stream-3", messages=MESSAGES)
    same((last.type, last.delta.finish_reason), ("message-end", "ERROR"))


if __name__ == "__main__":
    sdk = V2Client(client_wrapper=SyncClientWrapper(base_url=PROVIDER, token=KEY, httpx_client=httpx.Client()))
    check_requests()
    check_vectors(sdk)
    check_answers(sdk)
    check_errors(sdk)
    print("all is well")
