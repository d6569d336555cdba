"""Starts the real peer on a folder that was exported to, and goes on with a conversation there.

    python go_on.py FOLDER CONVERSATION_ID SAY

Needs a Python that has openhands-agent-server 1.58.2, and record.py beside it. FOLDER is called `workspace`, for that is where
the peer looks. Prints one JSON object: what the peer answers of what was exported, and what it did.
"""

import json
import sys
from pathlib import Path

from record import Peer


def main(folder: Path, ident: str, say: str) -> None:
    path = f"/api/conversations/{ident}"
    peer = Peer(folder.parent, folder / ".openhands")
    try:
        info, events = peer.ask("GET", path), peer.ask("GET", f"{path}/events/count")
        told = {
            "conversations": peer.ask("GET", "/api/conversations/count"), "status": info["execution_status"],
            "title": info["title"], "events": events,
            "secrets": sorted(secret["name"] for secret in peer.ask("GET", "/api/settings/secrets")["secrets"]),
            "model": peer.ask("GET", "/api/settings", headers={"X-Expose-Secrets": "plaintext"})["agent_settings"]["llm"],
            "profiles": sorted(profile["name"] for profile in peer.ask("GET", "/api/profiles")["profiles"]),
            "skills": [skill["name"] for skill in peer.ask("GET", "/api/skills/installed")["skills"]],
            "commands": len(peer.ask("GET", "/api/bash/bash_events/search?limit=100")["items"]),
        }
        peer.ask("POST", f"{path}/events", {"role": "user", "content": [{"type": "text", "text": say}], "run": True})

        def has_gone_on():
            count = peer.ask("GET", f"{path}/events/count")
            # What was said, and what the model said to it.
            is_done = count >= events + 2 and peer.ask("GET", path)["execution_status"] == "finished"
            return count if is_done else None

        told["events_after"] = peer.wait(has_gone_on, 90)
    finally:
        peer.stop()
    print("\n" + json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
