"""Writes the folders of a real agent server anew, as the fixture of the tests of moving.

    python record.py OUTPUT_DIR

Needs a Python that has openhands-agent-server 1.58.2. Starts that server with a scripted model in an empty folder, does
what users do to it, stops it, and copies what it has written to OUTPUT_DIR: `workspace/` and `home/` (its
OH_PERSISTENCE_DIR). The folder it ran in is called `/peer` in what is copied. `expected.json` has what the server answered
to the GETs that the tests repeat. All keys in it are made up.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SECRET_KEY = "the key of the fixture"
WORKING = "11111111-1111-4111-8111-111111111111"
WAITING = "22222222-2222-4222-8222-222222222222"
FORKED = "33333333-3333-4333-8333-333333333333"


def call(name: str, arguments: dict, ident: str) -> dict:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": ident, "type": "function", "function": function}]}


TURNS = {
    "[[working]]": [
        call("terminal", {"command": "echo moved > note.txt && cat note.txt"}, "call_1"),
        call("file_editor", {"command": "view", "path": "/WORK/note.txt"}, "call_2"),
        call("finish", {"message": "The note is there."}, "call_3"),
    ],
    "[[waiting]]": [call("terminal", {"command": "rm -f note.txt"}, "call_4")],
}


class Model(BaseHTTPRequestHandler):
    """Answers each conversation with the turns of the marker in its first message."""

    work = ""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = json.dumps(body["messages"])
        marker = next((marker for marker in TURNS if marker in text), None)
        said = sum(message["role"] == "assistant" for message in body["messages"])
        turns = TURNS.get(marker, [])
        message = turns[said] if said < len(turns) else {"role": "assistant", "content": "Nothing to do."}
        message = json.loads(json.dumps(message).replace("/WORK", self.work))
        answer = {
            "id": f"chatcmpl-{said}", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if message.get("tool_calls") else "stop"}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050},
        }
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_) -> None:
        pass


class Peer:
    def __init__(self, folder: Path, home: Path | None = None):
        self.folder = folder
        home = home or folder / "home"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder / "user"), "OH_PERSISTENCE_DIR": str(home),
            "OH_SECRET_KEY": SECRET_KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENHANDS_SUPPRESS_BANNER": "1",
            "OH_ENABLE_VSCODE": "false", "OH_ENABLE_VNC": "false", "DO_NOT_TRACK": "1", "EXTENSIONS_PATH": str(folder / "none"),
        }
        for name in ("user", "home", "project", "none"):
            (folder / name).mkdir(exist_ok=True)
        command = [sys.executable, "-m", "openhands.agent_server", "--host", "127.0.0.1", "--port", str(self.port)]
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=self.log, stderr=self.log)
        self.wait(lambda: self.ask("GET", "/health"), 120)

    def ask(self, method: str, path: str, body=None, headers=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"content-type": "application/json"} | (headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from None

    @staticmethod
    def wait(is_so, seconds: float):
        until = time.monotonic() + seconds
        while True:
            try:
                if found := is_so():
                    return found
            except (OSError, RuntimeError):
                if time.monotonic() > until:
                    raise
            if time.monotonic() > until:
                raise TimeoutError("the peer does not come to that")
            time.sleep(0.2)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def main(output: Path) -> None:
    folder = Path(tempfile.mkdtemp()).resolve()
    Model.work = str(folder / "project")
    model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    llm = {"model": "openai/scripted", "api_key": "sk-fixture-model", "base_url": f"http://127.0.0.1:{model.server_port}/v1",
           "usage_id": "agent", "num_retries": 0}
    peer = Peer(folder)
    keep(peer, folder, llm)
    converse(peer, folder, llm)
    # To look at some of it changes some of it: the first agent profile becomes the active one.
    answers(peer)
    expected = answers(peer)
    peer.stop()
    model.shutdown()
    copy(folder, output, expected, f"http://127.0.0.1:{model.server_port}/v1")
    shutil.rmtree(folder)


def keep(peer: Peer, folder: Path, llm: dict) -> None:
    """What tenants keep beside conversations."""
    connection = peer.ask("POST", "/api/llm/provider-connections", {
        "display_name": "Mine", "provider": "custom", "api_key": "sk-fixture-connection", "base_url": "https://models.invalid/v1"})
    own = {"model": "openai/own", "api_key": "sk-fixture-profile", "base_url": llm["base_url"]}
    linked = {"model": "openai/linked", "provider_connection_id": connection["id"]}
    peer.ask("POST", "/api/profiles/own", {"llm": own, "include_secrets": True})
    peer.ask("POST", "/api/profiles/linked", {"llm": linked, "include_secrets": True})
    peer.ask("POST", "/api/agent-profiles/helper", {"llm_profile_ref": "own", "persona": "brief"})
    peer.ask("POST", "/api/meta-profiles/routes", {
        "classifier_model": "own", "classes": [{"description": "all", "model": "own"}], "default_model": "own"})
    peer.ask("PATCH", "/api/settings", {
        "agent_settings_diff": {"llm": llm, "mcp_config": {"echo": {"command": "true", "env": {"TOKEN": "mcp-fixture-token"}}}},
        "conversation_settings_diff": {"max_iterations": 77}, "misc_settings_diff": {"theme": {"dark": True}},
        "active_profile": "own"})
    peer.ask("PUT", "/api/settings/secrets", {"name": "TOKEN_A", "value": "secret-fixture-a", "description": "the first"})
    peer.ask("PUT", "/api/settings/secrets", {"name": "TOKEN_B", "value": "secret-fixture-b"})
    peer.ask("POST", "/api/workspaces", {"workspaces": [{"id": "w", "name": "project", "path": str(folder / "project")}]})
    skill = folder / "skills-source" / "greeter"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: greeter\ndescription: Greets.\n---\n\nSay hello.\n")
    peer.ask("POST", "/api/skills/install", {"source": str(skill)})
    plugin = folder / "plugins-source" / "helper"
    (plugin / ".plugin").mkdir(parents=True)
    (plugin / "commands").mkdir()
    (plugin / ".plugin" / "plugin.json").write_text(json.dumps({"name": "helper", "version": "1.0.0", "description": "Helps."}))
    (plugin / "commands" / "hi.md").write_text("Say hi.\n")
    peer.ask("POST", "/api/plugins/install", {"source": str(plugin)})


def converse(peer: Peer, folder: Path, llm: dict) -> None:
    agent = {"kind": "Agent", "llm": llm, "tools": [{"name": "terminal", "params": {}}, {"name": "file_editor", "params": {}}],
             "condenser": None, "include_default_tools": ["FinishTool", "ThinkTool"]}
    request = {"agent": agent, "workspace": {"kind": "LocalWorkspace", "working_dir": str(folder / "project")}}
    peer.ask("POST", "/api/conversations", request | {
        "conversation_id": WORKING, "tags": {"kind": "fixture"}, "max_iterations": 20,
        "secrets": {"SESSION": {"kind": "StaticSecret", "value": "secret-fixture-conversation", "description": "of it"}},
        "initial_message": {"role": "user", "content": [{"type": "text", "text": "Write a note. [[working]]"}], "run": True}})
    peer.wait(lambda: peer.ask("GET", f"/api/conversations/{WORKING}")["execution_status"] == "finished", 90)
    peer.ask("PATCH", f"/api/conversations/{WORKING}", {"title": "A note"})
    peer.ask("POST", "/api/conversations", request | {
        "conversation_id": WAITING, "confirmation_policy": {"kind": "AlwaysConfirm"},
        "initial_message": {"role": "user", "content": [{"type": "text", "text": "Remove it. [[waiting]]"}], "run": True}})
    peer.wait(lambda: peer.ask("GET", f"/api/conversations/{WAITING}")["execution_status"] == "waiting_for_confirmation", 90)
    peer.ask("POST", f"/api/conversations/{WORKING}/fork", {"id": FORKED, "title": "A fork"})
    peer.ask("POST", "/api/bash/execute_bash_command", {"command": "echo from the shell", "cwd": str(folder / "project")})


GETS = [
    "/api/conversations/search?limit=100",
    *(f"/api/conversations/{ident}" for ident in (WORKING, WAITING, FORKED)),
    *(f"/api/conversations/{ident}/events/search?limit=100" for ident in (WORKING, WAITING, FORKED)),
    "/api/settings", "/api/settings/secrets", "/api/profiles", "/api/profiles/own", "/api/profiles/linked",
    "/api/agent-profiles", "/api/agent-profiles/helper", "/api/meta-profiles", "/api/meta-profiles/routes",
    "/api/llm/provider-connections", "/api/workspaces", "/api/skills/installed", "/api/plugins/installed",
    "/api/bash/bash_events/search?limit=100",
]


def answers(peer: Peer) -> dict:
    return {path: peer.ask("GET", path) for path in GETS}


def copy(folder: Path, output: Path, expected: dict, model: str) -> None:
    if output.exists():
        shutil.rmtree(output)
    output.mkdir(parents=True)
    kept = shutil.ignore_patterns("*.lock", "cache", "owner_lease.json", "observations", "*.pyc")
    shutil.copytree(folder / "workspace", output / "workspace", ignore=kept)
    shutil.copytree(folder / "home", output / "home", ignore=kept)
    (output / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for path in output.rglob("*"):
        if path.is_file():
            text = path.read_text().replace(str(folder), "/peer").replace(model, "http://model.invalid/v1")
            path.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
