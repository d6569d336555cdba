"""The peer's own `DockerWorkspace` with this server's image: the quick start inside, as its users run it.

    python docker_workspace.py IMAGE

Raises when a promise is broken, and prints figures. Run by `tests/it/docker/server_image.rs`, which makes the image.
The model is in the container too, so that nothing has to be reached from there.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("OPENHANDS_SUPPRESS_BANNER", "1")

from openhands.sdk import LLM, Conversation  # noqa: E402
from openhands.sdk.conversation.state import ConversationExecutionStatus as Status  # noqa: E402
from openhands.tools.preset.default import get_default_agent  # noqa: E402
from openhands.workspace import DockerWorkspace  # noqa: E402

_, IMAGE = sys.argv
KEY = "key-of-a-container"

MODEL = '''
import http.server, json
calls = [("terminal", {"command": "echo three facts > FACTS.md; id -un"}), ("finish", {"message": "Done."})]
class Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        done = sum(message["role"] == "assistant" for message in asked["messages"])
        name, arguments = calls[min(done, 1)]
        call = {"id": f"call_{done}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        message = {"role": "assistant", "content": "", "tool_calls": [call]}
        body = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "scripted",
                           "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
                           "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", 9000), Answers).serve_forever()
'''


def ask_for_no_more_files_than_there_may_be() -> None:
    """The class asks for 65536 open files, which engines on machines with a lower limit refuse."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most >= 65536:
        return
    folder, docker = Path(tempfile.mkdtemp()), shutil.which("docker")
    client = folder / "docker"
    client.write_text(f'#!/bin/bash\nexec {docker} "${{@/nofile=65536:65536/nofile={most}}}"\n')
    client.chmod(0o755)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    print(f"with {most} open files")


def started() -> DockerWorkspace:
    began = time.monotonic()
    workspace = DockerWorkspace(server_image=IMAGE, detach_logs=False)
    print(f"healthy after {time.monotonic() - began:.2f} s")
    return workspace


def output(workspace: DockerWorkspace, command: str) -> str:
    result = workspace.execute_command(command)
    assert result.exit_code == 0, (command, result)
    return result.stdout.strip()


def eventually(what: str, holds) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.05)


def quick_start(workspace: DockerWorkspace) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(MODEL)
        file.flush()
        assert workspace.file_upload(file.name, "/workspace/model.py").success
    output(workspace, "setsid python3 /workspace/model.py >/tmp/model.log 2>&1 </dev/null &")
    listening = "until bash -c '</dev/tcp/127.0.0.1/9000' 2>/dev/null; do sleep 0.05; done"
    output(workspace, listening)
    llm = LLM(model="openai/scripted", api_key="llm-key", base_url="http://127.0.0.1:9000/v1", num_retries=0)
    conversation = Conversation(agent=get_default_agent(llm=llm, cli_mode=True), workspace=workspace, visualizer=None)
    conversation.send_message("Write three facts about this folder into FACTS.md.")
    conversation.run(timeout=60)
    assert conversation.state.execution_status == Status.FINISHED, conversation.state.execution_status
    conversation.close()
    assert output(workspace, "cat /workspace/FACTS.md") == "three facts"


def ends_of_orphans_are_asked_for(workspace: DockerWorkspace) -> None:
    output(workspace, "(setsid true &)")
    eventually("no zombie stays", lambda: "Z" not in output(workspace, "ps -eo stat="))


def no_key_is_shown_to_commands(workspace: DockerWorkspace) -> None:
    shown = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; true"
    assert KEY not in output(workspace, shown)
    # The look itself works: the variables of the command are there.
    assert "PATH=" in output(workspace, shown)


def is_as_before_after_a_pause(workspace: DockerWorkspace) -> None:
    workspace.pause()
    workspace.resume()
    assert output(workspace, "cat /workspace/FACTS.md") == "three facts"


def stops_in_order(workspace: DockerWorkspace) -> None:
    container = workspace._container_id
    waiting = subprocess.Popen(["docker", "wait", container], stdout=subprocess.PIPE, text=True)
    began = time.monotonic()
    workspace.cleanup()
    took = time.monotonic() - began
    status = waiting.communicate(timeout=20)[0].strip()
    assert status == "0", status
    # After ten seconds the engine kills it.
    assert took < 9, took
    print(f"stopped after {took:.2f} s")


ask_for_no_more_files_than_there_may_be()
workspace = started()
try:
    quick_start(workspace)
    ends_of_orphans_are_asked_for(workspace)
    is_as_before_after_a_pause(workspace)
    stops_in_order(workspace)
finally:
    workspace.cleanup()

os.environ["OH_SESSION_API_KEYS_0"] = KEY
workspace = started()
try:
    no_key_is_shown_to_commands(workspace)
finally:
    workspace.cleanup()
print("docker_workspace: passed")
