"""OpenAI's own SDK against a node, unchanged but for the address and the key.

Takes TOLLGATE_URL and TOLLGATE_KEY. The policy has the models `chat` (six words) and `broken` (cut off after
three words), and admits five requests of the key.
"""

import os

import openai

WORDS = "n:0 n:1 n:2 n:3 n:4 n:5 "
MESSAGES = [{"role": "user", "content": "nonce=n"}]


def check() -> None:
    url = os.environ["TOLLGATE_URL"] + "/v1"
    client = openai.OpenAI(base_url=url, api_key=os.environ["TOLLGATE_KEY"], max_retries=0)

    models = sorted(model.id for model in client.models.list())
    assert models == ["broken", "chat"], models

    answer = client.chat.completions.create(model="chat", messages=MESSAGES)
    assert answer.choices[0].message.content == WORDS, answer
    assert answer.choices[0].finish_reason == "stop", answer
    assert answer.usage.completion_tokens == 6, answer

    options = {"include_usage": True}
    stream = client.chat.completions.create(model="chat", messages=MESSAGES, stream=True, stream_options=options)
    chunks = list(stream)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == WORDS, chunks
    assert chunks[-1].usage.completion_tokens == 6, chunks[-1]

    try:
        for _ in client.chat.completions.create(model="broken", messages=MESSAGES, stream=True):
            pass
    except openai.APIError as error:
        assert error.code == "answer_truncated", error
    else:
        raise AssertionError("a stream that was cut off looks complete")

    stranger = openai.OpenAI(base_url=url, api_key="tg_nobody", max_retries=0)
    try:
        stranger.chat.completions.create(model="chat", messages=MESSAGES)
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key", error
    else:
        raise AssertionError("a wrong key gets in")

    # The SDK asks for base64 and decodes it itself.
    embedded = client.embeddings.create(model="chat", input=["one", "two"])
    assert [len(item.embedding) for item in embedded.data] == [8, 8], embedded
    assert (embedded.model, embedded.usage.total_tokens) == ("chat", 8), embedded
    listed = client.embeddings.create(model="chat", input="one", encoding_format="float", dimensions=4)
    assert listed.data[0].embedding == embedded.data[0].embedding[:4], (listed, embedded)
    assert all(abs(number) < 1 for number in listed.data[0].embedding), listed

    try:
        client.chat.completions.create(model="chat", messages=MESSAGES)
    except openai.RateLimitError as error:
        assert error.code == "rate_limit_exceeded", error
        assert 0 < int(error.response.headers["retry-after"]) <= 3600, error.response.headers
        assert error.response.headers["x-ratelimit-limit-requests"] == "5", error.response.headers
    else:
        raise AssertionError("a sixth request gets in")


if __name__ == "__main__":
    check()
    print("all is well")
