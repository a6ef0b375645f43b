"""Google's SDK as the judge of what is sent to Gemini, and of the fake provider's answers in that format."""

import google.genai
import google.genai.errors
from google.genai import types

import oracle
from oracle import CACHED, CALLS, COUNT, EMBEDDED, INPUT, KEY, LENGTH, OUTPUT, PROMPT, PROVIDER, RICH, TEXT, THINKING, fails, same

# The fields of a request, each with the type that the SDK has for it. It has none for the whole.
FIELDS = {
    "contents": list[types.Content],
    "systemInstruction": types.Content,
    "tools": list[types.Tool],
    "toolConfig": types.ToolConfig,
    "safetySettings": list[types.SafetySetting],
    "generationConfig": types.GenerationConfig,
    "cachedContent": str,
    "labels": dict[str, str],
}


# The same of one request for a vector, of which a batch is made.
FIELDS_OF_VECTOR = {
    "model": str,
    "content": types.Content,
    "taskType": str,
    "title": str,
    "outputDimensionality": int,
}


def check_requests() -> None:
    for request in oracle.requests("gemini"):
        unknown = set(request["body"]) - set(FIELDS)
        assert not unknown, f"{request['path']}: Gemini knows no {unknown}"
        for name, value in request["body"].items():
            oracle.described(FIELDS[name], value, f"{request['path']} {name}")
        path, _, query = request["path"].partition("?")
        action = path.rpartition(":")[2]
        assert (action, query) in [("generateContent", ""), ("streamGenerateContent", "alt=sse")], request["path"]


def check_vectors(client: google.genai.Client) -> None:
    for request in oracle.embeddings("gemini"):
        assert request["path"].endswith(":batchEmbedContents"), request["path"]
        same(set(request["body"]), {"requests"})
        for one in request["body"]["requests"]:
            unknown = set(one) - set(FIELDS_OF_VECTOR)
            assert not unknown, f"{request['path']}: Gemini knows no {unknown}"
            for name, value in one.items():
                oracle.described(FIELDS_OF_VECTOR[name], value, f"{request['path']} {name}")
    answer = client.models.embed_content(model="ok", contents=EMBEDDED)
    same([len(item.values) for item in answer.embeddings], [LENGTH] * len(EMBEDDED))
    same(answer.usage_metadata.prompt_token_count, COUNT)


def check_answers(client: google.genai.Client) -> None:
    answer = client.models.generate_content(model=RICH, contents=PROMPT)
    parts = answer.candidates[0].content.parts
    same([part.text for part in parts if part.thought], [THINKING])
    same([part.text for part in parts if part.text and not part.thought], [TEXT])
    calls = [part for part in parts if part.function_call]
    same([(part.function_call.name, part.function_call.args) for part in calls], CALLS)
    # Of parallel calls, the first carries the signature.
    assert [bool(part.thought_signature) for part in calls] == [True, False], calls
    same(answer.candidates[0].finish_reason, types.FinishReason.STOP)
    usage = answer.usage_metadata
    same((usage.prompt_token_count, usage.cached_content_token_count), (INPUT, CACHED))
    same(usage.candidates_token_count + usage.thoughts_token_count, OUTPUT)

    chunks = list(client.models.generate_content_stream(model=RICH, contents=PROMPT))
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
    same("".join(part.text for part in parts if part.text and not part.thought), TEXT)
    same("".join(part.text for part in parts if part.thought), THINKING)
    same([(p.function_call.name, p.function_call.args) for p in parts if p.function_call], CALLS)
    same(chunks[-1].usage_metadata.total_token_count, INPUT + OUTPUT)

    blocked = client.models.generate_content(model="refuse-filter", contents=PROMPT)
    same((blocked.candidates, blocked.prompt_feedback.block_reason), (None, types.BlockedReason.PROHIBITED_CONTENT))


def check_errors(client: google.genai.Client) -> None:
    def ask(model: str) -> object:
        return client.models.generate_content(model=model, contents=PROMPT)

    limited = fails(google.genai.errors.ClientError, lambda: ask("refuse-rate"))
    same((limited.code, limited.status), (429, "RESOURCE_EXHAUSTED"))
    same(limited.details["error"]["details"][0]["retryDelay"], "2s")
    same(fails(google.genai.errors.ClientError, lambda: ask("refuse-quota")).code, 429)
    same(fails(google.genai.errors.ServerError, lambda: ask("refuse-overload")).status, "UNAVAILABLE")
    same(fails(google.genai.errors.ClientError, lambda: ask("refuse-context")).status, "INVALID_ARGUMENT")
    same(fails(google.genai.errors.ClientError, lambda: ask("refuse-key")).code, 400)


if __name__ == "__main__":
    sdk = google.genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=PROVIDER))
    check_requests()
    check_vectors(sdk)
    check_answers(sdk)
    check_errors(sdk)
    print("all is well")
