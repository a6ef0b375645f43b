"""OpenAI's SDK as the judge of what is sent to OpenAI, at Azure too, and of the fake provider's answers in its formats."""

import base64
import json

import openai
from openai.types import CreateEmbeddingResponse, EmbeddingCreateParams
from openai.types.chat import ChatCompletion, ChatCompletionChunk, completion_create_params
from openai.types.responses import InputTokenCountResponse, Response, ResponseStreamEvent, response_create_params
from pydantic import TypeAdapter

import oracle
from oracle import CACHED, CALLS, COUNT, EMBEDDED, INPUT, KEY, LENGTH, OUTPUT, PROMPT, PROVIDER, RICH, TEXT, THINKING, fails, same

MESSAGES = [{"role": "user", "content": PROMPT}]
# Not of OpenAI's own format, but of those who imitate it.
IMITATORS = frozenset(["reasoning_content"])


def check_requests() -> None:
    for request in oracle.requests("openai", "azure_openai"):
        body = request["body"]
        streams = body.get("stream", False)
        shape = (
            completion_create_params.CompletionCreateParamsStreaming
            if streams
            else completion_create_params.CompletionCreateParamsNonStreaming
        )
        oracle.described(shape, body, request["path"])
        assert request["path"].endswith("/chat/completions"), request["path"]


def check_vectors(client: openai.OpenAI) -> None:
    for request in oracle.embeddings("openai", "azure_openai"):
        oracle.described(EmbeddingCreateParams, request["body"], request["path"])
        assert request["path"].endswith("/embeddings"), request["path"]

    options = {"model": "ok", "input": EMBEDDED}
    raw = client.embeddings.with_raw_response.create(**options, encoding_format="float")
    # Mistral's, in the same format, have an id; it counts output too.
    oracle.nothing_extra(CreateEmbeddingResponse.model_validate_json(raw.text), "vectors", frozenset(["id", "completion_tokens"]))
    listed, decoded = raw.parse(), client.embeddings.create(**options)
    same([len(item.embedding) for item in listed.data], [LENGTH] * len(EMBEDDED))
    same([item.embedding for item in decoded.data], [item.embedding for item in listed.data])
    same((listed.usage.prompt_tokens, listed.usage.total_tokens), (COUNT, COUNT))


def check_answers(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=RICH, messages=MESSAGES)
    oracle.nothing_extra(ChatCompletion.model_validate_json(raw.text), "answer", IMITATORS)
    answer = raw.parse()
    choice = answer.choices[0]
    same(choice.message.content, TEXT)
    same(choice.message.reasoning_content, THINKING)
    same([(c.function.name, json.loads(c.function.arguments)) for c in choice.message.tool_calls], CALLS)
    same(choice.finish_reason, "tool_calls")
    same((answer.usage.prompt_tokens, answer.usage.completion_tokens), (INPUT, OUTPUT))
    same(answer.usage.prompt_tokens_details.cached_tokens, CACHED)

    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=RICH, messages=MESSAGES, stream=True, stream_options=options))
    for chunk in chunks:
        document = chunk.model_dump(exclude_unset=True)
        oracle.nothing_extra(ChatCompletionChunk.model_validate(document), "chunk", IMITATORS)
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    same("".join(delta.content or "" for delta in deltas), TEXT)
    arguments = ["", ""]
    for call in (call for delta in deltas for call in delta.tool_calls or []):
        arguments[call.index] += call.function.arguments or ""
    same([json.loads(text) for text in arguments], [call[1] for call in CALLS])
    same(chunks[-1].usage.completion_tokens, OUTPUT)


def check_responses_requests() -> None:
    kept = 0
    for request in oracle.requests("openai_responses", "azure_openai_responses"):
        body = request["body"]
        streams = body.get("stream", False)
        shape = (
            response_create_params.ResponseCreateParamsStreaming
            if streams
            else response_create_params.ResponseCreateParamsNonStreaming
        )
        oracle.described(shape, body, request["path"])
        assert request["path"].endswith("/responses"), request["path"]
        same((body["store"], body["include"][0]), (False, "reasoning.encrypted_content"))
        kept += sum(item.get("type") in ("reasoning", "web_search_call") for item in body["input"])
    assert kept >= 8, f"{kept} thoughts and searches went back"


def check_responses(client: openai.OpenAI) -> None:
    def judge(answer: Response) -> None:
        thought, said, *calls = answer.output
        same([part.text for part in thought.summary], [THINKING])
        assert thought.encrypted_content
        same((said.role, answer.output_text), ("assistant", TEXT))
        same([(call.name, json.loads(call.arguments)) for call in calls], CALLS)
        same((answer.status, answer.usage.input_tokens, answer.usage.output_tokens), ("completed", INPUT, OUTPUT))
        same(answer.usage.input_tokens_details.cached_tokens, CACHED)
        same(answer.usage.output_tokens_details.reasoning_tokens, 2)

    raw = client.responses.with_raw_response.create(model=RICH, input=MESSAGES, store=False)
    oracle.nothing_extra(Response.model_validate_json(raw.text), "response")
    judge(raw.parse())

    events = list(client.responses.create(model=RICH, input=MESSAGES, store=False, stream=True))
    known = TypeAdapter(ResponseStreamEvent)
    for event in events:
        oracle.nothing_extra(known.validate_python(event.model_dump(exclude_unset=True, by_alias=True)), event.type)
    same([event.sequence_number for event in events], list(range(len(events))))

    def told(kind: str) -> str:
        return "".join(event.delta for event in events if event.type == kind)

    same(told("response.output_text.delta"), TEXT)
    same(told("response.reasoning_summary_text.delta"), THINKING)
    same(told("response.function_call_arguments.delta"), "".join(json.dumps(call[1], separators=(",", ":")) for call in CALLS))
    same(events[-1].type, "response.completed")
    judge(events[-1].response)

    searched = client.responses.create(model="ok-3+searched", input=MESSAGES)
    search, said = searched.output
    same((search.action.query, search.status, searched.output_text), ("sky", "completed", TEXT))

    cut = client.responses.create(model="ok-9", input=MESSAGES, max_output_tokens=4)
    same((cut.status, cut.incomplete_details.reason), ("incomplete", "max_output_tokens"))
    withheld = client.responses.create(model="filtered", input=MESSAGES)
    same((withheld.status, withheld.incomplete_details.reason), ("incomplete", "content_filter"))
    counted = client.responses.input_tokens.with_raw_response.count(model="ok", input=MESSAGES)
    oracle.nothing_extra(InputTokenCountResponse.model_validate_json(counted.text), "count")
    same(counted.parse().input_tokens, INPUT)

    limited = fails(openai.RateLimitError, lambda: client.responses.create(model="refuse-rate", input=MESSAGES))
    same(limited.code, "rate_limit_exceeded")
    *_, broken = client.responses.create(model="error-in-stream-3", input=MESSAGES, stream=True)
    same((broken.type, broken.code), ("error", "server_is_overloaded"))


def check_sound(client: openai.OpenAI) -> None:
    """What the fake provider says in sound is its words, to the byte."""
    spoken = {"model": "ok-3+spoken", "messages": MESSAGES, "modalities": ["text", "audio"]}
    spoken["audio"] = {"voice": "alloy", "format": "pcm16"}
    raw = client.chat.completions.with_raw_response.create(**spoken)
    oracle.nothing_extra(ChatCompletion.model_validate_json(raw.text), "sound")
    answer = raw.parse()
    audio = answer.choices[0].message.audio
    same((audio.transcript, base64.b64decode(audio.data).decode()), (TEXT, TEXT))
    assert audio.id and audio.expires_at, audio
    same(answer.usage.completion_tokens_details.audio_tokens, answer.usage.completion_tokens)

    chunks = list(client.chat.completions.create(**spoken, stream=True))
    for chunk in chunks:
        document = chunk.model_dump(exclude_unset=True)
        oracle.nothing_extra(ChatCompletionChunk.model_validate(document), "chunk of sound")
    told = [choice.delta.audio for chunk in chunks for choice in chunk.choices if choice.delta.audio]
    same("".join(audio.transcript or "" for audio in told), TEXT)
    same(b"".join(base64.b64decode(audio.data) for audio in told if audio.data).decode(), TEXT)
    assert told[-1].expires_at, told[-1]


def check_errors(client: openai.OpenAI) -> None:
    def ask(model: str) -> object:
        return client.chat.completions.create(model=model, messages=MESSAGES)

    limited = fails(openai.RateLimitError, lambda: ask("refuse-rate"))
    same((limited.code, limited.response.headers["retry-after"]), ("rate_limit_exceeded", "2"))
    same(fails(openai.RateLimitError, lambda: ask("refuse-quota")).type, "insufficient_quota")
    same(fails(openai.RateLimitError, lambda: ask("refuse-ramp")).code, "slow_down")
    same(fails(openai.InternalServerError, lambda: ask("refuse-overload")).status_code, 503)
    same(fails(openai.BadRequestError, lambda: ask("refuse-context")).code, "context_length_exceeded")
    same(fails(openai.AuthenticationError, lambda: ask("refuse-key")).code, "invalid_api_key")
    broken = client.chat.completions.create(model="error-in-stream-3", messages=MESSAGES, stream=True)
    same(fails(openai.APIError, lambda: list(broken)).code, "overloaded")


if __name__ == "__main__":
    sdk = openai.OpenAI(base_url=PROVIDER + "/v1", api_key=KEY, max_retries=0)
    check_requests()
    check_vectors(sdk)
    check_answers(sdk)
    check_responses_requests()
    check_responses(sdk)
    check_sound(sdk)
    check_errors(sdk)
    print("all is well")
