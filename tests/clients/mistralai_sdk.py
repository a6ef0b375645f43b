"""Mistral's SDK as the judge of what is sent to Mistral, and of the fake provider's answers in OpenAI's format."""

import json

import mistralai.client
from mistralai.client import errors, models

import oracle
from oracle import CALLS, COUNT, EMBEDDED, INPUT, KEY, LENGTH, OUTPUT, PROMPT, PROVIDER, RICH, TEXT, fails, same

MESSAGES = [{"role": "user", "content": PROMPT}]


def check_requests() -> None:
    for request in oracle.requests("mistral"):
        streams = request["body"].get("stream", False)
        shape = models.ChatCompletionStreamRequest if streams else models.ChatCompletionRequest
        oracle.described(shape, request["body"], request["path"])
        assert request["path"].endswith("/chat/completions"), request["path"]


def check_vectors(client: mistralai.client.Mistral) -> None:
    for request in oracle.embeddings("mistral"):
        oracle.described(models.EmbeddingRequest, request["body"], request["path"])
        assert request["path"].endswith("/embeddings"), request["path"]
    answer = client.embeddings.create(model="ok", inputs=EMBEDDED)
    same([len(item.embedding) for item in answer.data], [LENGTH] * len(EMBEDDED))
    same((answer.usage.prompt_tokens, answer.usage.total_tokens), (COUNT, COUNT))
    small = client.embeddings.create(model="ok", inputs=EMBEDDED, output_dtype="int8")
    assert all(number == int(number) for number in small.data[0].embedding), small


def check_answers(client: mistralai.client.Mistral) -> None:
    answer = client.chat.complete(model=RICH, messages=MESSAGES)
    choice = answer.choices[0]
    same(choice.message.content, TEXT)
    same([(c.function.name, json.loads(c.function.arguments)) for c in choice.message.tool_calls], CALLS)
    same((choice.finish_reason, answer.usage.prompt_tokens, answer.usage.completion_tokens), ("tool_calls", INPUT, OUTPUT))

    # Streams of Mistral hold calls whole, which the fake provider tells in pieces: not here.
    events = [event.data for event in client.chat.stream(model="ok-3", messages=MESSAGES)]
    deltas = [choice.delta for event in events for choice in event.choices]
    same("".join(delta.content or "" for delta in deltas), TEXT)


def check_errors(client: mistralai.client.Mistral) -> None:
    def ask(model: str) -> object:
        return client.chat.complete(model=model, messages=MESSAGES)

    same(fails(errors.SDKError, lambda: ask("refuse-rate")).status_code, 429)
    same(fails(errors.SDKError, lambda: ask("refuse-key")).status_code, 401)


if __name__ == "__main__":
    sdk = mistralai.client.Mistral(api_key=KEY, server_url=PROVIDER)
    check_requests()
    check_vectors(sdk)
    check_answers(sdk)
    check_errors(sdk)
    print("all is well")
