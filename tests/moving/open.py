"""Opens a conversation of an exported folder with the peer's own code, and lets it go on.

    python - FOLDER CONVERSATION_ID SECRET_KEY MODEL_URL [SAY] < open.py

Needs a Python with openhands-sdk 1.58.2 and openhands-tools. Prints one JSON object: what the peer read, and what it did.
"""

import json
import os
import sys
import uuid
from pathlib import Path

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("OPENHANDS_SUPPRESS_BANNER", "1")

import openhands.tools.preset.default  # noqa: E402, F401  (its tools register themselves)
from openhands.sdk import LocalConversation  # noqa: E402
from openhands.sdk.conversation.persistence_const import EVENT_NAME_RE  # noqa: E402
from openhands.sdk.utils.cipher import Cipher  # noqa: E402
from openhands.tools.preset.default import register_default_tools  # noqa: E402

_, FOLDER, IDENT, KEY, MODEL, *SAY = sys.argv


def main() -> None:
    register_default_tools(enable_browser=False)
    folder = Path(FOLDER) / "conversations" / uuid.UUID(IDENT).hex
    written = sorted(path.name for path in (folder / "events").iterdir() if path.name.endswith(".json"))
    odd = [name for name in written if not EVENT_NAME_RE.match(name)]
    state = json.loads((folder / "base_state.json").read_text())
    conversation = LocalConversation(
        agent=None, workspace=state["workspace"]["working_dir"], persistence_dir=folder.parent,
        conversation_id=uuid.UUID(IDENT), cipher=Cipher(KEY), visualizer=None, delete_on_close=False)
    told = {
        "files": len(written), "odd": odd, "events": len(conversation.state.events),
        "kinds": [type(event).__name__ for event in conversation.state.events],
        "branch": len(conversation.state.active_branch()),
        "status": conversation.state.execution_status.value,
        "model_key": conversation.state.agent.llm.api_key.get_secret_value(),
        "secrets": sorted(conversation.state.secret_registry.secret_sources),
        "title": json.loads((folder / "meta.json").read_text())["title"],
    }
    if SAY:
        conversation.switch_llm(conversation.state.agent.llm.model_copy(update={"base_url": MODEL}))
        conversation.send_message(SAY[0])
        conversation.run()
        told["status_after"] = conversation.state.execution_status.value
        told["events_after"] = len(conversation.state.events)
    conversation.close()
    print("\n" + json.dumps(told))


main()
