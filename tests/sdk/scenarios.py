"""What users do with the real OpenHands Python SDK, one function a scenario.

    python scenarios.py NAME SERVER_URL SESSION_KEY MODEL_URL WORK_DIR

SESSION_KEY may be "-" for a server without keys. A scenario raises when a promise is broken. Run by
`tests/sdk.rs`, which starts the server and the scripted model.
"""

import json
import os
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("OPENHANDS_SUPPRESS_BANNER", "1")

from openhands.sdk import LLM, Conversation, Workspace  # noqa: E402
from openhands.sdk.conversation.state import ConversationExecutionStatus as Status  # noqa: E402
from openhands.sdk.event import ActionEvent, ObservationEvent  # noqa: E402
from openhands.sdk.security.confirmation_policy import AlwaysConfirm, NeverConfirm  # noqa: E402
from openhands.tools.preset.default import get_default_agent  # noqa: E402

_, NAME, SERVER, KEY, MODEL, WORK = sys.argv
KEY = None if KEY == "-" else KEY
# With an instant model a run is over at once; a client that waits longer has missed its end.
QUICK = 2.0


def call(name: str, arguments: dict, ident: str) -> dict:
    return {"tool_calls": [{"id": ident, "name": name, "arguments": arguments}],
            "input_tokens": 1000, "output_tokens": 50}


def finish(message: str = "Done.") -> dict:
    return call("finish", {"message": message}, "call_finish")


class Session:
    """A conversation of its own with its own script, its events as the socket brought them."""

    def __init__(self, turns: list[dict], model: str = "openai/scripted"):
        self.marker = f"[[{uuid.uuid4().hex}]]"
        script = json.dumps([{"marker": self.marker, "turns": turns}]).encode()
        urllib.request.urlopen(MODEL.removesuffix("/v1") + "/_scripts", script).read()
        llm = LLM(model=model, api_key="llm-key", base_url=MODEL, usage_id="agent", num_retries=0)
        self.folder = f"{WORK}/{uuid.uuid4().hex[:8]}"
        self.workspace = Workspace(host=SERVER, api_key=KEY, working_dir=self.folder)
        self.seen: list = []
        self.conversation = Conversation(
            agent=get_default_agent(llm=llm, cli_mode=True), workspace=self.workspace,
            callbacks=[self.seen.append], visualizer=None)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exc) -> None:
        self.conversation.close()

    def say(self, text: str) -> None:
        self.conversation.send_message(f"{text} {self.marker}")

    def run(self) -> float:
        began = time.monotonic()
        self.conversation.run(timeout=30)
        return time.monotonic() - began

    @property
    def status(self) -> Status:
        return self.conversation.state.execution_status

    def stored(self) -> list[dict]:
        path = f"/api/conversations/{self.conversation.id}/events/search"
        return self.workspace.client.get(path, params={"limit": 100}).json()["items"]


def quick_start(model: str = "openai/scripted") -> None:
    notes = "- It is small.\n- It is new.\n"
    with Session([], model) as session:
        create = {"command": "create", "path": f"{session.folder}/NOTES.md", "file_text": notes}
        script = [{"marker": session.marker, "turns": [call("file_editor", create, "call_create"), finish("Ready.")]}]
        urllib.request.urlopen(MODEL.removesuffix("/v1") + "/_scripts", json.dumps(script).encode()).read()
        session.say("Write down facts.")
        assert session.run() < QUICK
        assert session.status == Status.FINISHED, session.status
        kept = [event for event in session.stored() if event["kind"] != "ConversationStateUpdateEvent"]
        kinds = [(event["kind"], event["source"]) for event in kept]
        assert kinds == [
            ("SystemPromptEvent", "agent"), ("MessageEvent", "user"),
            ("ActionEvent", "agent"), ("ObservationEvent", "environment"),
            ("ActionEvent", "agent"), ("ObservationEvent", "environment")], kinds
        assert [e.get("parent_id") for e in kept] == [None] + [e["id"] for e in kept[:-1]]
        live = [event.id for event in session.seen if type(event).__name__ != "ConversationStateUpdateEvent"]
        assert live[-5:] == [event["id"] for event in kept[1:]] and len(live) == len(set(live)), live
        used = session.conversation.conversation_stats.usage_to_metrics["agent"].token_usages
        assert [(u.prompt_tokens, u.completion_tokens) for u in used].count((1000, 50)) == 2, used
        assert session.workspace.execute_command("cat NOTES.md", cwd=session.folder).stdout == notes


def quick_start_anthropic() -> None:
    quick_start("anthropic/claude-sonnet-4-5-20250929")


def thirty_quick_runs() -> None:
    with Session([{"text": f"answer {i}"} for i in range(31)]) as session:
        session.say("Talk to me.")
        slowest = session.run()
        for _ in range(29):
            session.conversation.send_message("Go on.")
            slowest = max(slowest, session.run())
        assert slowest < QUICK, slowest
        assert session.status == Status.FINISHED
        print(f"slowest of 30 runs: {slowest:.3f} s")


def confirmation() -> None:
    turns = [call("terminal", {"command": "touch refused"}, "call_1"),
             call("terminal", {"command": "touch accepted"}, "call_2"), finish()]
    with Session(turns) as session:
        session.conversation.set_confirmation_policy(AlwaysConfirm())
        session.say("Make files.")
        assert session.run() < QUICK
        assert session.status == Status.WAITING_FOR_CONFIRMATION, session.status
        session.conversation.reject_pending_actions("Not that one")
        assert session.run() < QUICK
        assert session.status == Status.WAITING_FOR_CONFIRMATION, session.status
        session.run()
        assert session.status == Status.FINISHED, session.status
        files = session.workspace.execute_command("ls", cwd=session.folder).stdout.split()
        assert files == ["accepted"], files
        refusals = [e for e in session.stored() if e["kind"] == "UserRejectObservation"]
        assert [e["rejection_reason"] for e in refusals] == ["Not that one"], refusals
        session.conversation.set_confirmation_policy(NeverConfirm())
        # The client's copy follows the socket.
        deadline = time.monotonic() + 10
        while session.conversation.state.confirmation_policy.kind != "NeverConfirm":
            assert time.monotonic() < deadline, session.conversation.state.confirmation_policy
            time.sleep(0.01)


def pause_and_resume() -> None:
    slow = dict(call("terminal", {"command": "echo one"}, "call_1"), delay_ms=700)
    with Session([slow, call("terminal", {"command": "echo two"}, "call_2"), finish()]) as session:
        session.say("Work slowly.")
        threading.Timer(0.3, session.conversation.pause).start()
        session.run()
        assert session.status == Status.PAUSED, session.status
        session.run()
        assert session.status == Status.FINISHED, session.status
        kinds = [event["kind"] for event in session.stored()]
        assert kinds.count("PauseEvent") == 1 and kinds.count("ObservationEvent") == 3, kinds


def interrupt() -> None:
    with Session([call("terminal", {"command": "sleep 60"}, "call_1"), finish()]) as session:
        session.say("Sleep.")
        threading.Timer(0.7, session.conversation.interrupt).start()
        assert session.run() < 10
        assert session.status == Status.PAUSED, session.status
        kinds = [event["kind"] for event in session.stored()]
        assert "InterruptEvent" in kinds and "AgentErrorEvent" in kinds, kinds


def secrets() -> None:
    turns = [call("terminal", {"command": "echo the token is $MY_TOKEN"}, "call_1"),
             call("terminal", {"command": "env | grep -c -e OH_ -e SESSION_API_KEY"}, "call_2"), finish()]
    with Session(turns) as session:
        session.conversation.update_secrets({"MY_TOKEN": "very-secret-value"})
        session.say("Use the token.")
        session.run()
        assert session.status == Status.FINISHED, session.status
        observed = [e.observation for e in session.seen if isinstance(e, ObservationEvent)]
        assert "the token is <secret-hidden>" in observed[0].text, observed[0]
        assert observed[1].text.split("\n")[0].strip() == "0", observed[1]
        assert "very-secret-value" not in json.dumps(session.stored())


def workspace_calls() -> None:
    with Session([]) as session:
        workspace, folder = session.workspace, session.folder
        failing = workspace.execute_command("echo out; echo err >&2; exit 3", cwd=folder)
        assert (failing.exit_code, failing.stdout, failing.stderr) == (3, "out\n", "err\n"), failing
        late = workspace.execute_command("sleep 30", cwd=folder, timeout=1)
        assert late.exit_code == -1, late
        local = Path(folder).parent / "local.bin"
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(bytes(range(256)) * 4096)
        assert workspace.file_upload(local, f"{folder}/sub/remote.bin").success
        back = local.with_name("back.bin")
        assert workspace.file_download(f"{folder}/sub/remote.bin", back).success
        assert back.read_bytes() == local.read_bytes()
        setup = "git config user.email a@b.c && git config user.name n && echo one > 'a b.txt' && git add 'a b.txt' && git commit -qm first && echo two >> 'a b.txt'"
        assert workspace.execute_command(setup, cwd=folder).exit_code == 0
        changes = {(str(change.path), change.status.value) for change in workspace.git_changes(folder)}
        assert changes == {("a b.txt", "UPDATED"), ("sub/remote.bin", "ADDED")}, changes
        diff = workspace.git_diff(f"{folder}/a b.txt")
        assert (diff.original.rstrip(), diff.modified.rstrip()) == ("one", "one\ntwo"), diff
        assert workspace.alive and workspace.get_server_info()["version"]


def ask_and_attach() -> None:
    with Session([{"text": "Hello."}, {"text": "I said hello."}]) as session:
        session.say("Hi.")
        session.run()
        answer = session.conversation.ask_agent("What did you say?")
        assert answer == "I said hello.", answer
        again = Conversation(agent=session.conversation.agent, workspace=session.workspace,
                             conversation_id=session.conversation.id, visualizer=None, delete_on_close=False)
        assert {e.id for e in again.state.events} >= {e["id"] for e in session.stored()}
        assert not any(isinstance(event, ActionEvent) for event in again.state.events)
        again.close()


def stored_settings() -> None:
    """What a workspace tells of settings, and that tokens are those of the SDK's own cipher."""
    from openhands.sdk.utils.cipher import Cipher

    workspace = Workspace(host=SERVER, api_key=KEY, working_dir=WORK)
    client = workspace.client
    servers = {"s": {"command": "true", "env": {"TOKEN": "of-the-server"}}}
    changed = client.patch("/api/settings", json={"agent_settings_diff": {
        "llm": {"model": "openai/scripted", "api_key": "sk-stored"}, "mcp_config": servers}})
    assert changed.status_code == 200 and "sk-stored" not in changed.text, changed.text
    llm = workspace.get_llm()
    assert (llm.model, llm.api_key.get_secret_value()) == ("openai/scripted", "sk-stored"), llm
    server = workspace.get_mcp_config()["s"]
    assert (server.command, server.env["TOKEN"].get_secret_value()) == ("true", "of-the-server"), server

    kept = client.put("/api/settings/secrets", json={"name": "DEPLOY", "value": "very-secret", "description": "d"})
    assert kept.status_code == 200, kept.text
    secret = workspace.get_secrets()["DEPLOY"]
    assert (secret.get_value(), secret.description) == ("very-secret", "d"), secret
    assert set(workspace.get_secrets(names=["DEPLOY", "OTHER"])) == {"DEPLOY"}

    sealed = client.get("/api/settings", headers={"X-Expose-Secrets": "encrypted"}).json()
    token = sealed["agent_settings"]["llm"]["api_key"]
    ours, theirs = Cipher("the secret of the server"), "of the peer"
    assert ours.decrypt(token).get_secret_value() == "sk-stored", token
    # And one that the peer's own code has made is taken.
    from pydantic import SecretStr
    back = {"llm": {"api_key": ours.encrypt(SecretStr(theirs))}}
    assert client.patch("/api/settings", json={"agent_settings_diff": back}).status_code == 200
    assert workspace.get_llm().api_key.get_secret_value() == theirs


def stored_profiles() -> None:
    """Models by the name of their profile, and what an agent profile and a conversation get of stored secrets."""
    from openhands.sdk.conversation.impl.remote_conversation import RemoteConversation
    from openhands.sdk.conversation.request import StartConversationRequest
    from openhands.sdk.settings.api_models import SettingsResponse
    from openhands.sdk.workspace import LocalWorkspace

    workspace = Workspace(host=SERVER, api_key=KEY, working_dir=WORK)
    client = workspace.client

    def kept(method: str, path: str, body: dict) -> dict:
        answer = client.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    kept("POST", "/api/profiles/fast", {"llm": {"model": "openai/fast", "api_key": "sk-fast", "base_url": MODEL}})
    named = workspace.get_llm("fast")
    assert (named.model, named.usage_id) == ("openai/fast", "profile:fast"), named
    try:
        workspace.get_llm("slow")
    except FileNotFoundError as unknown:
        assert "slow" in str(unknown), unknown
    else:
        raise AssertionError("a profile that nobody saved was found")
    kept("POST", "/api/profiles/fast/activate", {})
    active = workspace.get_llm(temperature=0.5)
    assert (active.model, active.temperature, active.api_key.get_secret_value()) == ("openai/fast", 0.5, "sk-fast"), active
    settings = SettingsResponse.model_validate(client.get("/api/settings").json())
    assert settings.active_profile == "fast" and settings.get_agent_settings().llm.model == "openai/fast", settings
    assert settings.get_conversation_settings().max_iterations == 500, settings

    for name in ("DEPLOY", "REVIEW"):
        kept("PUT", "/api/settings/secrets", {"name": name, "value": f"very-secret-{name}"})
    kept("POST", "/api/agent-profiles/one", {"agent_kind": "openhands", "llm_profile_ref": "fast", "secret_refs": ["DEPLOY"]})
    profile = client.get("/api/agent-profiles/one").json()["profile"]["id"]
    assert set(workspace.get_secrets(agent_profile_id=profile)) == {"DEPLOY"}
    request = StartConversationRequest(agent_profile_id=profile, workspace=LocalWorkspace(working_dir=WORK))
    launched = RemoteConversation.create(workspace, request)
    again = RemoteConversation.attach(workspace, launched.id)
    assert launched.state.agent.llm.model == again.state.agent.llm.model == "openai/fast"
    again.close()
    launched.close()


def other_clients() -> None:
    """Programs that know the API of OpenAI and no other."""
    import openai

    marker = f"[[{uuid.uuid4().hex}]]"
    turns = [finish("First."), finish("Second."), finish("Third.")]
    script = json.dumps([{"marker": marker, "turns": turns}]).encode()
    urllib.request.urlopen(MODEL.removesuffix("/v1") + "/_scripts", script).read()
    client = Workspace(host=SERVER, api_key=KEY, working_dir=WORK).client
    llm = {"model": "openai/scripted", "api_key": "llm-key", "base_url": MODEL, "num_retries": 0}
    assert client.patch("/api/settings", json={"agent_settings_diff": {"llm": llm}}).status_code == 200
    # It makes the profiles that are asked for below.
    assert client.get("/api/agent-profiles").status_code == 200

    other = openai.OpenAI(base_url=f"{SERVER}/v1", api_key=KEY, max_retries=0)
    assert [model.id for model in other.models.list()] == ["openhands_default"]
    asked = {"model": "openhands_default", "messages": [{"role": "user", "content": f"Hi. {marker}"}]}
    raw = other.chat.completions.with_raw_response.create(**asked)
    first = raw.parse()
    assert first.choices[0].message.content == "First.", first
    assert (first.usage.prompt_tokens, first.usage.completion_tokens) == (1000, 50), first.usage
    same = {"X-OpenHands-ServerConversation-ID": raw.headers["x-openhands-serverconversation-id"]}
    second = other.chat.completions.create(**asked, extra_headers=same)
    assert second.choices[0].message.content == "Second.", second
    assert second.usage.prompt_tokens == 1000, second.usage
    streamed = {**asked, "stream": True, "stream_options": {"include_usage": True}}
    pieces = list(other.chat.completions.create(**streamed, extra_headers=same))
    told = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert told == "Third." and pieces[-1].usage.prompt_tokens == 1000, pieces
    response = other.responses.create(model="openhands_default", input=f"Hi. {marker}")
    assert response.output_text == "First.", response

    for what, error, words in [
        (lambda: other.chat.completions.create(**{**asked, "model": "gpt"}), openai.NotFoundError, "Unknown OpenHands model"),
        (lambda: other.chat.completions.create(**{**asked, "messages": []}), openai.BadRequestError, "user message"),
        (lambda: openai.OpenAI(base_url=f"{SERVER}/v1", api_key="wrong").models.list(), openai.AuthenticationError, "Unauthorized"),
    ]:
        try:
            what()
        except error as refused:
            assert words in refused.body["message"], refused.body
        else:
            raise AssertionError(f"{error} was not raised")


globals()[NAME]()
print(f"{NAME}: passed")
