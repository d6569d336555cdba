#!/usr/bin/env python3
"""Makes the forms of crates/forms from an installed peer, with its own Python:

    python forms.py crates/forms/forms

Each is a JSON schema of the peer's, without what is only shown to people, and with what its schema does not say:
`writeOnly` at texts that hold a secret in maps whose schema calls them plain, `hidden` at fields that are read and
never given back, `default` where the peer computes one, and `always` at a field that is given back whatever was read.
"""

import importlib
import json
import pathlib
import sys

FORMS = {
    "openhands_settings": "openhands.sdk.settings.model:OpenHandsAgentSettings",
    "acp_settings": "openhands.sdk.settings.model:ACPAgentSettings",
    "conversation_settings": "openhands.sdk.settings.model:ConversationSettings",
    "llm": "openhands.sdk.llm.llm:LLM",
    "mcp_server": "openhands.sdk.mcp.config:MCPServer",
    "mcp_server_patch": "openhands.sdk.settings.api_models:MCPServerPatch",
    "openhands_profile": "openhands.sdk.profiles.agent_profile:OpenHandsAgentProfile",
    "acp_profile": "openhands.sdk.profiles.agent_profile:ACPAgentProfile",
    "meta_profile": "openhands.sdk.llm.meta_profile_store:MetaProfile",
    "hook_config": "openhands.sdk.hooks.config:HookConfig",
    "canvas_manifest": "openhands.agent_server.canvas_extensions.manifest:CanvasExtensionManifest",
}

KEPT = {
    "$ref", "additionalProperties", "anyOf", "const", "default", "discriminator", "enum", "exclusiveMaximum",
    "exclusiveMinimum", "format", "items", "maxLength", "maximum", "minItems", "minLength", "minProperties", "minimum",
    "oneOf", "pattern", "properties", "propertyNames", "required", "type", "writeOnly",
}
FORMATS = {"uuid"}


def reduced(schema):
    """The schema without what no check needs."""
    if not isinstance(schema, dict):
        return schema
    found = {}
    for key, value in schema.items():
        if key not in KEPT or (key == "format" and value not in FORMATS):
            continue
        if key == "properties":
            value = {name: reduced(field) for name, field in value.items()}
        elif key in ("anyOf", "oneOf"):
            value = [reduced(part) for part in value]
        elif key in ("additionalProperties", "items", "propertyNames"):
            value = reduced(value)
        elif key == "discriminator":
            # What the mapping calls its parts is not what clients send: that is the constant of each part.
            value = value["propertyName"]
        found[key] = value
    return found


def amend(name, root, model):
    parts = {"": root} | root["$defs"]
    if "LLM" in parts or name == "llm":
        llm = parts.get("LLM", root)["properties"]
        llm["fallback_strategy"]["hidden"] = True
        llm["extra_headers"]["anyOf"][0]["additionalProperties"]["writeOnly"] = True
        llm["is_subscription"] = {"type": "boolean", "always": False}
    if "AgentContext" in parts:
        context = parts["AgentContext"]["properties"]
        context["memory_context"]["hidden"] = True
        plain = context["secrets"]["anyOf"][0]["additionalProperties"]["anyOf"][0]
        plain["writeOnly"] = True
    if "LookupSecret" in parts:
        parts["LookupSecret"]["properties"]["headers"]["additionalProperties"]["writeOnly"] = True
    if name == "acp_settings":
        root["properties"]["acp_file_secrets"]["default"] = model().model_dump(mode="json")["acp_file_secrets"]
    if name == "conversation_settings":
        # The rest belongs to the call that makes a conversation, not to what is kept.
        shown = model().model_dump(mode="json")
        root["properties"] = {field: root["properties"][field] for field in shown}


def used(root):
    """The parts that something refers to, also by way of others."""
    found, waiting = {}, [root]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            reference = part.get("$ref", "").rsplit("/", 1)[-1]
            if reference and reference not in found:
                found[reference] = root["$defs"][reference]
                waiting.append(found[reference])
            waiting.extend(value for key, value in part.items() if key not in ("$defs", "default"))
        elif isinstance(part, list):
            waiting.extend(part)
    return dict(sorted(found.items()))


def form(name, place):
    module, _, model = place.partition(":")
    model = getattr(importlib.import_module(module), model)
    schema = model.model_json_schema()
    root = reduced(schema)
    root["$defs"] = {part: reduced(found) for part, found in schema.get("$defs", {}).items()}
    amend(name, root, model)
    root["$defs"] = used(root)
    return root


def main(folder):
    for name, place in FORMS.items():
        text = json.dumps(form(name, place), indent=1) + "\n"
        (pathlib.Path(folder) / f"{name}.json").write_text(text)


main(sys.argv[1])
