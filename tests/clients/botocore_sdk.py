"""AWS's own model of Bedrock as the judge of what is sent to it, and of the fake provider's answers in that format."""

import json
import urllib.parse

import botocore.config
import botocore.exceptions
import botocore.session
from botocore.validate import ParamValidator

import oracle
from oracle import CACHED, CALLS, COUNT, EMBEDDED, INPUT, KEY, LENGTH, OUTPUT, PROMPT, PROVIDER, RICH, TEXT, THINKING, fails, same

MESSAGES = [{"role": "user", "content": [{"text": PROMPT}]}]
OPERATIONS = {"converse": "Converse", "converse-stream": "ConverseStream"}


def check_requests(client) -> None:
    for request in oracle.requests("bedrock"):
        _, model, action = request["path"].rsplit("/", 2)
        shape = client.meta.service_model.operation_model(OPERATIONS[action]).input_shape
        parameters = {**request["body"], "modelId": urllib.parse.unquote(model)}
        report = ParamValidator().validate(parameters, shape)
        assert not report.has_errors(), f"{request['path']}: {report.generate_report()}"


def check_vectors(client) -> None:
    """The body is whatever the model's maker says: botocore knows only the call around it."""
    shape = client.meta.service_model.operation_model("InvokeModel").input_shape
    for request in oracle.embeddings("bedrock"):
        _, model, action = request["path"].rsplit("/", 2)
        same(action, "invoke")
        parameters = {"modelId": urllib.parse.unquote(model), "body": json.dumps(request["body"])}
        report = ParamValidator().validate(parameters, shape)
        assert not report.has_errors(), f"{request['path']}: {report.generate_report()}"

    def invoke(body: dict) -> tuple[dict, dict]:
        answer = client.invoke_model(modelId="ok", body=json.dumps(body))
        return json.loads(answer["body"].read()), answer["ResponseMetadata"]["HTTPHeaders"]

    vectors, headers = invoke({"texts": EMBEDDED, "input_type": "search_query"})
    same([len(vector) for vector in vectors["embeddings"]["float"]], [LENGTH] * len(EMBEDDED))
    same(headers["x-amzn-bedrock-input-token-count"], str(COUNT))
    vector, _ = invoke({"inputText": EMBEDDED[0]})
    same((vector["embedding"], vector["inputTextTokenCount"]), (vectors["embeddings"]["float"][0], COUNT // 2))


def check_answers(client) -> None:
    answer = client.converse(modelId=RICH, messages=MESSAGES)
    thinking, text, *calls = answer["output"]["message"]["content"]
    same(thinking["reasoningContent"]["reasoningText"]["text"], THINKING)
    assert thinking["reasoningContent"]["reasoningText"]["signature"], thinking
    same(text["text"], TEXT)
    same([(call["toolUse"]["name"], call["toolUse"]["input"]) for call in calls], CALLS)
    same(answer["stopReason"], "tool_use")
    usage = answer["usage"]
    same((usage["inputTokens"], usage["outputTokens"]), (INPUT - CACHED, OUTPUT))
    same(usage["cacheReadInputTokens"], CACHED)

    # Checks both checksums of every message as it reads.
    events = list(client.converse_stream(modelId=RICH, messages=MESSAGES)["stream"])
    deltas = [event["contentBlockDelta"] for event in events if "contentBlockDelta" in event]
    same("".join(delta["delta"].get("text", "") for delta in deltas), TEXT)
    thoughts = [delta["delta"].get("reasoningContent", {}) for delta in deltas]
    same("".join(thought.get("text", "") for thought in thoughts), THINKING)
    assert any("signature" in thought for thought in thoughts), thoughts
    arguments: dict[int, str] = {}
    for delta in deltas:
        if "toolUse" in delta["delta"]:
            index = delta["contentBlockIndex"]
            arguments[index] = arguments.get(index, "") + delta["delta"]["toolUse"]["input"]
    same([json.loads(text) for text in arguments.values()], [call[1] for call in CALLS])
    same([event["messageStop"]["stopReason"] for event in events if "messageStop" in event], ["tool_use"])
    same(events[-1]["metadata"]["usage"]["outputTokens"], OUTPUT)


def check_errors(client) -> None:
    def ask(model: str) -> object:
        return client.converse(modelId=model, messages=MESSAGES)

    def broken() -> object:
        return list(client.converse_stream(modelId="error-in-stream-3", messages=MESSAGES)["stream"])

    fails(client.exceptions.ThrottlingException, lambda: ask("refuse-rate"))
    fails(client.exceptions.ServiceUnavailableException, lambda: ask("refuse-overload"))
    fails(client.exceptions.ValidationException, lambda: ask("refuse-context"))
    refused = fails(botocore.exceptions.ClientError, lambda: ask("refuse-key"))
    same(refused.response["Error"]["Code"], "UnrecognizedClientException")
    failed = fails(botocore.exceptions.EventStreamError, broken)
    same(failed.response["Error"]["Code"], "serviceUnavailableException")


if __name__ == "__main__":
    sdk = botocore.session.Session().create_client(
        "bedrock-runtime",
        region_name="eu-central-1",
        endpoint_url=PROVIDER,
        aws_access_key_id=KEY,
        aws_secret_access_key="a-secret",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )
    check_requests(sdk)
    check_vectors(sdk)
    check_answers(sdk)
    check_errors(sdk)
    print("all is well")
