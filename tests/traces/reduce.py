#!/usr/bin/env python3
"""Reduces recordings of the real SDK against the peer to fixtures for `tests/traces.rs`.

    reduce.py RECORDING.jsonl... > OUT_DIR/NAME.json for each (give --out DIR)

A fixture is a list of conversations. Each has the create body, the client's later calls with the status each
got, what the model answered (requests with tools and requests without, apart), and an outline of the events
that followed: kind, source, the parts that matter, and which fields were there. Snapshots, stream pieces and
`stats` updates are left out: they are either not stored or land anywhere after their model call.
"""

import argparse
import json
import re
from pathlib import Path

LEFT_OUT = {"StreamingDeltaEvent", "ServerErrorEvent"}
NESTED = ("action", "observation", "llm_message")
TELLING = ("key", "tool_name", "tool_call_id", "code", "rejection_source", "security_risk", "analyzer", "policy", "classification")


def outline(event: dict) -> dict:
    told = {name: event[name] for name in ("kind", "source", *TELLING) if name in event}
    if event.get("key") == "execution_status":
        told["value"] = event["value"]
    told["fields"] = sorted(set(event) - {"id", "timestamp"})
    for name in NESTED:
        if isinstance(event.get(name), dict):
            told[name] = sorted(event[name])
            told[f"{name}_kind"] = event[name].get("kind")
    return told


def log_order(events: list[dict]) -> list[dict]:
    """Up to 1.57 the peer's socket sent the update about a user message before the message, against the order of its log."""
    ordered = list(events)
    for at in range(len(ordered) - 1):
        update, message = ordered[at], ordered[at + 1]
        if update.get("key") == "last_user_message_id" and update.get("value") == message["id"]:
            ordered[at], ordered[at + 1] = message, update
    return ordered


def conversations(lines: list[dict]) -> list[dict]:
    made, by_conn, answers, marker = {}, {}, {}, ""
    for line in lines:
        if line["type"] == "llm":
            # A summary names no script of its own: it belongs to the conversation that was just talking.
            if line["script"].startswith("[["):
                marker = line["script"].removesuffix(" title")
            side = "tools" if line["req_body"].get("tools") else "side"
            # The recording has the whole answer; on the wire its connection was cut in the middle.
            answer = {"status": line["status"], "body": line["res_body"], "cut": line["script"].endswith("truncated]]")}
            answers.setdefault(marker, {"tools": [], "side": []})[side].append(answer)
        elif line["type"] == "ws_open" and line["path"].startswith("/sockets/events/"):
            by_conn[line["conn"]] = line["path"].rsplit("/", 1)[-1]
        elif line["type"] == "ws" and line.get("dir") == "s2c" and line["conn"] in by_conn:
            conversation = made.get(by_conn[line["conn"]])
            event = line.get("data")
            if conversation and isinstance(event, dict) and event.get("id") not in conversation["seen"]:
                conversation["seen"].add(event.get("id"))
                conversation["events"].append(event)
        elif line["type"] == "http" and line["method"] != "GET":
            parts = line["path"].strip("/").split("/")
            if line["path"] == "/api/conversations" and line["status"] == 201:
                made[line["res_body"]["id"]] = {"create": line["req_body"], "calls": [], "events": [], "seen": set()}
            elif len(parts) > 2 and parts[2] in made and line["method"] != "DELETE":
                call = {"method": line["method"], "path": "/".join(parts[3:]), "body": line["req_body"], "status": line["status"]}
                made[parts[2]]["calls"].append(call)
    result = []
    for conversation in made.values():
        text = json.dumps([call["body"] for call in conversation["calls"]])
        marker = next((found for found in re.findall(r"\[\[[^\]]+\]\]", text) if found in answers), None)
        kept = [e for e in conversation["events"]
                if e.get("key") not in ("full_state", "stats") and e["kind"] not in LEFT_OUT]
        result.append({
            "create": conversation["create"],
            "calls": conversation["calls"],
            "model": answers.get(marker, {"tools": [], "side": []}),
            "events": [outline(event) for event in log_order(kept)],
        })
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    for recording in options.recordings:
        lines = [json.loads(line) for line in recording.open()]
        fixture = conversations(sorted(lines, key=lambda line: line["t"]))
        (options.out / f"{recording.stem}.json").write_text(json.dumps(fixture, indent=1, sort_keys=True) + "\n")


main()
