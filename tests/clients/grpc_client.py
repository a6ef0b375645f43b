"""A client generated from the contract, as a caller in Python would have it.

Takes TOLLGATE_PROTO (the folder of the contract), TOLLGATE_URL and TOLLGATE_KEY. The policy has the models
`chat` (six words) and `broken` (cut off after three words), and admits five requests of the key.
"""

import os
import sys
import tempfile
from pathlib import Path

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_tools import protoc

PROTO = os.environ["TOLLGATE_PROTO"]
ADDRESS = os.environ["TOLLGATE_URL"].removeprefix("http://")
METADATA = [("authorization", f"Bearer {os.environ['TOLLGATE_KEY']}")]
WORDS = "n:0 n:1 n:2 n:3 n:4 n:5 "


def generate(folder: str) -> None:
    """Generates messages and stubs the way the README says."""
    files = [f"tollgate/completion/v1/{name}.proto" for name in ("completion", "model")]
    well_known = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(arguments + files) == 0, "the contract does not compile"
    sys.path.insert(0, folder)


def details(error: grpc.RpcError) -> dict[str, object]:
    """The `google.rpc` details of an error, by type."""
    found = {}
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            for packed in status_pb2.Status.FromString(value).details:
                kind = packed.type_url.rsplit(".", 1)[1]
                found[kind] = getattr(error_details_pb2, kind)()
                packed.Unpack(found[kind])
    return found


def fails(code: grpc.StatusCode, call) -> dict[str, object]:
    """Makes a call that must fail with a code, and returns the details."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        return details(error)
    raise AssertionError(f"no {code}")


def check() -> None:
    from tollgate.completion.v1 import completion_pb2 as pb
    from tollgate.completion.v1 import completion_pb2_grpc as rpc
    from tollgate.completion.v1 import model_pb2, model_pb2_grpc

    channel = grpc.insecure_channel(ADDRESS)
    service = rpc.CompletionServiceStub(channel)

    def ask(model: str) -> pb.CompleteRequest:
        message = pb.Message(role=pb.ROLE_USER, parts=[pb.Part(text="nonce=n")])
        return pb.CompleteRequest(model=model, messages=[message])

    models = model_pb2_grpc.ModelServiceStub(channel).ListModels(model_pb2.ListModelsRequest(), metadata=METADATA)
    assert [model.name for model in models.models] == ["broken", "chat"], models

    answer = service.Complete(ask("chat"), metadata=METADATA)
    assert answer.choices[0].message.parts[0].text == WORDS, answer
    assert answer.choices[0].finish_reason == pb.FINISH_REASON_STOP, answer
    assert answer.usage.output_tokens == 6, answer
    assert answer.cost.nano_usd == answer.usage.input_tokens * 1000 + 6 * 2000, answer
    assert answer.route.deployment == "six", answer

    pieces = list(service.StreamComplete(ask("chat"), metadata=METADATA))
    text = "".join(part.text for piece in pieces for choice in piece.choices for part in choice.parts)
    assert text == WORDS, pieces
    assert pieces[-1].usage.output_tokens == 6, pieces[-1]
    assert pieces[-1].route.attempts[0].outcome == pb.ATTEMPT_OUTCOME_ANSWERED, pieces[-1]

    found = fails(grpc.StatusCode.DATA_LOSS, lambda: list(service.StreamComplete(ask("broken"), metadata=METADATA)))
    assert found["ErrorInfo"].reason == "ANSWER_TRUNCATED", found
    found = fails(grpc.StatusCode.UNAUTHENTICATED, lambda: service.Complete(ask("chat")))
    assert found["ErrorInfo"].domain == "tollgate", found

    for _ in range(2):
        service.Complete(ask("chat"), metadata=METADATA)
    found = fails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: service.Complete(ask("chat"), metadata=METADATA))
    assert found["ErrorInfo"].reason == "LIMIT_EXCEEDED", found
    assert "per-key" in found["QuotaFailure"].violations[0].subject, found
    assert 0 < found["RetryInfo"].retry_delay.seconds <= 3600, found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as generated:
        generate(generated)
        check()
    print("all is well")
