"""Anthropic's SDK as the judge of what is sent to Anthropic, and of the fake provider's answers in that format."""

import anthropic
from anthropic.types import Message, RawMessageStreamEvent, message_create_params
from pydantic import TypeAdapter

import oracle
from oracle import CACHED, CALLS, INPUT, KEY, OUTPUT, PROMPT, PROVIDER, RICH, TEXT, THINKING, fails, same

# The API takes them for older models, and the SDK names them no more.
SAMPLING = ["temperature", "top_k", "top_p"]

ASK = {"max_tokens": 100, "messages": [{"role": "user", "content": PROMPT}]}


def check_requests() -> None:
    for request in oracle.requests("anthropic"):
        body = {name: value for name, value in request["body"].items() if name not in SAMPLING}
        shape = (
            message_create_params.MessageCreateParamsStreaming
            if body.get("stream", False)
            else message_create_params.MessageCreateParamsNonStreaming
        )
        oracle.described(shape, body, request["path"])
        assert request["path"].endswith("/messages"), request["path"]
        assert request["headers"]["anthropic-version"] == "2023-06-01", request["headers"]


def check_message(message: Message) -> None:
    thinking, text, *calls = message.content
    same((thinking.thinking, text.text), (THINKING, TEXT))
    assert thinking.signature, thinking
    same([(call.name, call.input) for call in calls], CALLS)
    same(message.stop_reason, "tool_use")
    same((message.usage.cache_read_input_tokens, message.usage.output_tokens), (CACHED, OUTPUT))
    same(message.usage.input_tokens, INPUT - CACHED)


def check_answers(client: anthropic.Anthropic) -> None:
    raw = client.messages.with_raw_response.create(model=RICH, **ASK)
    oracle.nothing_extra(Message.model_validate_json(raw.text()), "answer")
    check_message(raw.parse())

    adapter = TypeAdapter(RawMessageStreamEvent)
    events = list(client.messages.create(model=RICH, stream=True, **ASK))
    for event in events:
        if event.type != "ping":
            oracle.nothing_extra(adapter.validate_python(event.model_dump(exclude_unset=True)), event.type)
    same(events[-1].type, "message_stop")
    with client.messages.stream(model=RICH, **ASK) as stream:
        check_message(stream.get_final_message())


def check_search(client: anthropic.Anthropic) -> None:
    def check(message: Message) -> None:
        search, found, text = message.content
        same((search.name, search.input), ("web_search", {"query": "sky"}))
        same((found.tool_use_id, found.content[0].title), (search.id, "Sky"))
        same((text.text, message.usage.server_tool_use.web_search_requests), (TEXT, 1))

    raw = client.messages.with_raw_response.create(model="ok-3+searched", **ASK)
    oracle.nothing_extra(Message.model_validate_json(raw.text()), "search")
    check(raw.parse())
    with client.messages.stream(model="ok-3+searched", **ASK) as stream:
        check(stream.get_final_message())


def check_errors(client: anthropic.Anthropic) -> None:
    def ask(model: str) -> object:
        return client.messages.create(model=model, **ASK)

    limited = fails(anthropic.RateLimitError, lambda: ask("refuse-rate"))
    same(limited.response.headers["retry-after"], "2")
    same(limited.body["error"]["type"], "rate_limit_error")
    quota = fails(anthropic.APIStatusError, lambda: ask("refuse-quota"))
    same((quota.status_code, quota.body["error"]["type"]), (402, "billing_error"))
    same(fails(anthropic.APIStatusError, lambda: ask("refuse-overload")).status_code, 529)
    fails(anthropic.BadRequestError, lambda: ask("refuse-context"))
    fails(anthropic.AuthenticationError, lambda: ask("refuse-key"))
    broken = client.messages.create(model="error-in-stream-3", stream=True, **ASK)
    same(fails(anthropic.APIStatusError, lambda: list(broken)).body["error"]["type"], "overloaded_error")


if __name__ == "__main__":
    sdk = anthropic.Anthropic(base_url=PROVIDER, api_key=KEY, max_retries=0)
    check_requests()
    check_answers(sdk)
    check_search(sdk)
    check_errors(sdk)
    print("all is well")
