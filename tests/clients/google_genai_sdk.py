"""Google's SDK as the judge of what is sent to Gemini, and of the fake provider's answers in that format."""

import google.genai
import google.genai.errors
from google.genai import _common, models, types

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


def spelt_alike(body: dict) -> dict:
    """The same with its contents as the SDK understands them: a field's name has two spellings, and bytes are base64."""
    if "requests" in body:
        return {**body, "requests": [spelt_alike(one) for one in body["requests"]]}
    return {**body, "content": types.Content.model_validate(body["content"])} if "content" in body else body


def check_vertex(client: google.genai.Client) -> None:
    """Vertex AI has three ways of its own, and the SDK writes them all: what it makes of what a request says must be that request."""
    ways = set()
    for request in oracle.embeddings("vertex"):
        body, (model, _, action) = request["body"], request["path"].rpartition("/")[2].rpartition(":")
        ways.add(action)
        contents, settings, api = {
            "predict": lambda: ({"contents": [it["content"] for it in body["instances"]]}, {**body["parameters"], **body["instances"][0]}, "PREDICT"),
            "embedContent": lambda: ({"content": body["content"]}, body["embedContentConfig"], "EMBED_CONTENT"),
            "batchEmbedContents": lambda: (
                {"batch_contents": [it["content"] for it in body["requests"]]},
                body["requests"][0]["embedContentConfig"],
                "BATCH_EMBED_CONTENTS",
            ),
        }[action]()
        config = types.EmbedContentConfig(
            task_type=settings.get("taskType", settings.get("task_type")),
            output_dimensionality=settings.get("outputDimensionality"),
            auto_truncate=settings.get("autoTruncate"),
        )
        meant = types._EmbedContentParametersPrivate(model=model, embedding_api_type=api, config=config, **contents)
        written = models._EmbedContentParametersPrivate_to_vertex(client._api_client, meant, None, meant)
        written = _common.convert_to_dict({name: value for name, value in written.items() if not name.startswith("_")})
        same(spelt_alike(body), spelt_alike({"parameters": {}, **written} if action == "predict" else written))
    same(ways, {"predict", "embedContent", "batchEmbedContents"})

    for model, contents in [("ok", EMBEDDED), ("gemini-embedding-001@ok", EMBEDDED), ("gemini-embedding-001@ok", EMBEDDED[:1])]:
        answer = client.models.embed_content(model=model, contents=contents)
        same([len(item.values) for item in answer.embeddings], [LENGTH] * len(contents))
    same(sum(item.statistics.token_count for item in client.models.embed_content(model="ok", contents=EMBEDDED).embeddings), COUNT)


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


def check_own_tools_and_sound(client: google.genai.Client) -> None:
    for answer in [
        client.models.generate_content(model="ok-3+searched", contents=PROMPT),
        *list(client.models.generate_content_stream(model="ok-3+searched", contents=PROMPT))[:1],
    ]:
        ran, came = answer.candidates[0].content.parts[:2]
        same(ran.executable_code.language, types.Language.PYTHON)
        same((came.code_execution_result.outcome, came.code_execution_result.output), (types.Outcome.OUTCOME_OK, "1\n"))
    spoken = client.models.generate_content(model="ok-3+spoken", contents=PROMPT).candidates[0].content.parts[0]
    same((spoken.inline_data.mime_type, spoken.inline_data.data.decode()), ("audio/L16;codec=pcm;rate=24000", TEXT))


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
    check_vertex(google.genai.Client(vertexai=True, api_key=KEY, http_options=types.HttpOptions(base_url=PROVIDER)))
    check_answers(sdk)
    check_own_tools_and_sound(sdk)
    check_errors(sdk)
    print("all is well")
