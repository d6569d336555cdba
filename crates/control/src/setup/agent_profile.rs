//! An agent profile as clients send it: older ones are brought up to date, and all are checked and completed.

use forms::{Form, Step, Trouble};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::active::SEED;
use crate::Refusal;

/// What profiles are written in.
const SCHEMA_VERSION: i64 = 4;
const LAST_WITH_SWITCHES: i64 = 2;

const MOST_BYTES: usize = 256 << 10;

/// Switches of older profiles, which are tools of newer ones.
const SUB_AGENTS: &str = "enable_sub_agents";
const SWITCH_LLM: &str = "enable_switch_llm_tool";

/// What the switches stood for, beside the tools that there are in any case.
const STANDARD_TOOLS: [&str; 4] = ["terminal", "file_editor", "task_tracker", "browser_tool_set"];
const SUB_AGENT_TOOL: &str = "task_tool_set";
const SWITCH_LLM_TOOL: &str = "switch_llm";

/// Tools with two names, that of their class and their own. They take no parameters but for the last one.
const TWO_NAMES: [(&str, &str); 6] = [
    ("FinishTool", "finish"),
    ("ThinkTool", "think"),
    ("InvokeSkillTool", "invoke_skill"),
    ("SwitchLLMTool", SWITCH_LLM_TOOL),
    ("VisionInspectTool", "inspect_image_with_vision"),
    ("ClassifyAndSwitchLLMTool", "route_task_to_model"),
];
const WITH_PARAMETERS: &str = "route_task_to_model";

/// The profile that was sent, complete, under this name. It has an id of its own where none was sent.
///
/// # Errors
/// `Troubles` at the places of the profile, without the body around it; `Unfit` where it is of another release; `TooLarge`.
pub fn read_agent_profile(name: &str, mut given: Map<String, Value>) -> Result<Value, Refusal> {
    check_size(&given)?;
    given.insert("name".to_owned(), name.into());
    let mut given = brought_up_to_date(given).ok_or_else(invalid)?;
    given.entry("id").or_insert_with(|| Uuid::new_v4().to_string().into());
    let (root, form) = kind_of(&given)?;
    let refused = |list| Refusal::Troubles { root, list };
    if is_openhands(&given) && has_switches(&given) {
        let why = "Retired tool switches were removed; select tools instead.";
        return Err(refused(vec![broken_rule(&[], why)]));
    }
    let filled = form.fill(given.into()).map_err(|list| refused(without_bounds(list)));
    let mut profile = filled?;
    if let Some(tools) = profile.get_mut("tools").and_then(Value::as_array_mut) {
        check_parameters(tools).map_err(|why| refused(vec![broken_rule(&["tools"], &why)]))?;
        *tools = each_once(std::mem::take(tools));
    }
    profile.as_object().map_or(Ok(()), check_size)?;
    Ok(profile)
}

fn check_size(profile: &Map<String, Value>) -> Result<(), Refusal> {
    let bytes = serde_json::to_vec(profile).map_or(0, |text| text.len());
    if bytes > MOST_BYTES {
        return Err(Refusal::TooLarge("An agent profile may have at most 256 KiB."));
    }
    Ok(())
}

/// The tool's own name, whichever of its names this is.
fn canonical_tool(name: &str) -> &str {
    TWO_NAMES.iter().find(|(class, _)| *class == name).map_or(name, |(_, own)| *own)
}

fn kind_of(given: &Map<String, Value>) -> Result<(&'static [&'static str], &'static Form), Refusal> {
    match given.get("agent_kind") {
        None => Ok((&["openhands"], forms::openhands_profile())),
        Some(kind) if kind == "openhands" => Ok((&["openhands"], forms::openhands_profile())),
        Some(kind) if kind == "acp" => Ok((&["acp"], forms::acp_profile())),
        Some(_) => {
            let says = "Input tag found using _agent_profile_discriminator() does not match any of the expected tags: \
                        'openhands', 'acp'";
            let trouble =
                Trouble { kind: "union_tag_invalid", at: Vec::new(), says: says.to_owned(), bounds: None };
            Err(Refusal::Troubles { root: &[], list: vec![trouble] })
        }
    }
}

fn has_switches(given: &Map<String, Value>) -> bool {
    [SUB_AGENTS, SWITCH_LLM].iter().any(|switch| given.contains_key(*switch))
}

fn is_openhands(given: &Map<String, Value>) -> bool {
    given.get("agent_kind").is_none_or(|kind| kind == "openhands")
}

/// Clients are shown where and why, and nothing else.
fn without_bounds(list: Vec<Trouble>) -> Vec<Trouble> {
    list.into_iter().map(|trouble| Trouble { bounds: None, ..trouble }).collect()
}

fn broken_rule(at: &[&str], why: &str) -> Trouble {
    Trouble {
        kind: "value_error",
        at: at.iter().map(|&field| Step::Field(field.to_owned())).collect(),
        says: format!("Value error, {why}"),
        bounds: None,
    }
}

fn invalid() -> Refusal {
    Refusal::Unfit("Invalid agent profile".to_owned())
}

/// `None` for what no release that is known here has written.
fn brought_up_to_date(mut given: Map<String, Value>) -> Option<Map<String, Value>> {
    let version = match given.get("schema_version") {
        // Agent Canvas sends switches to this day, and no version.
        None | Some(Value::Null) if has_switches(&given) => LAST_WITH_SWITCHES,
        None | Some(Value::Null) => SCHEMA_VERSION,
        Some(version) => version.as_i64().filter(|version| (1..=SCHEMA_VERSION).contains(version))?,
    };
    if version == 1 {
        given.shift_remove("skills");
        let is_seed = given.get("name").is_some_and(|name| name == SEED)
            && given.get("revision").is_none_or(|revision| revision == 0);
        if is_openhands(&given) && is_seed && given.get("tools").is_some_and(|tools| *tools == json!([])) {
            given.insert("tools".to_owned(), Value::Null);
        }
    }
    if version <= LAST_WITH_SWITCHES && is_openhands(&given) {
        fold_switches(&mut given)?;
    }
    if version < SCHEMA_VERSION {
        given.shift_remove(SUB_AGENTS);
        given.shift_remove(SWITCH_LLM);
    }
    given.insert("schema_version".to_owned(), SCHEMA_VERSION.into());
    Some(given)
}

/// What the switches said becomes tools, unless it is what there is anyway.
fn fold_switches(given: &mut Map<String, Value>) -> Option<()> {
    let mut switch = |name: &str, default: bool| match given.shift_remove(name) {
        None => Some(default),
        Some(value) => value.as_bool(),
    };
    let (has_sub_agents, has_switch) = (switch(SUB_AGENTS, false)?, switch(SWITCH_LLM, true)?);
    let mut tools = match given.get("tools") {
        Some(Value::Array(tools)) if !tools.is_empty() => tools.clone(),
        None | Some(Value::Null | Value::Array(_)) if !has_sub_agents && has_switch => {
            given.insert("tools".to_owned(), Value::Null);
            return Some(());
        }
        None | Some(Value::Null | Value::Array(_)) => {
            let more = has_sub_agents.then_some(SUB_AGENT_TOOL);
            STANDARD_TOOLS.into_iter().chain(more).map(|name| json!({ "name": name })).collect()
        }
        // The form says what is wrong with it.
        Some(_) => return Some(()),
    };
    let switches = |tool: &Value| tool_name(tool) == Some(SWITCH_LLM_TOOL);
    if !has_switch {
        tools.retain(|tool| !switches(tool));
    } else if !tools.iter().any(switches) {
        tools.push(json!({ "name": SWITCH_LLM_TOOL }));
    }
    given.insert("tools".to_owned(), tools.into());
    Some(())
}

fn tool_name(tool: &Value) -> Option<&str> {
    tool.get("name").and_then(Value::as_str).map(canonical_tool)
}

fn has_parameters(tool: &Value) -> bool {
    tool.get("params").and_then(Value::as_object).is_some_and(|params| !params.is_empty())
}

fn check_parameters(tools: &[Value]) -> Result<(), String> {
    let takes_none = |name: &str| name != WITH_PARAMETERS && TWO_NAMES.iter().any(|(_, own)| *own == name);
    for tool in tools {
        let params = tool.get("params").and_then(Value::as_object).into_iter().flat_map(Map::keys);
        let mut params = params.filter(|name| *name != "response_schema");
        if params.next().is_some() && tool_name(tool).is_some_and(takes_none) {
            let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
            return Err(format!("Tool '{name}' does not accept parameters"));
        }
    }
    Ok(())
}

/// Of several of one name the first with parameters, at the place of the first.
fn each_once(tools: Vec<Value>) -> Vec<Value> {
    let mut once = Map::new();
    for mut tool in tools {
        let Some(name) = tool_name(&tool).map(str::to_owned) else { continue };
        if let Some(fields) = tool.as_object_mut() {
            fields.insert("name".to_owned(), name.as_str().into());
        }
        match once.get_mut(&name) {
            None => drop(once.insert(name, tool)),
            Some(kept) if !has_parameters(kept) && has_parameters(&tool) => *kept = tool,
            Some(_) => {}
        }
    }
    once.into_iter().map(|(_, tool)| tool).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: Value) -> Result<Value, Refusal> {
        let Value::Object(given) = given else { panic!("an object is meant") };
        read_agent_profile("p", given)
    }

    fn tools(given: Value) -> Value {
        read(given).unwrap()["tools"].clone()
    }

    #[test]
    fn a_profile_is_completed_under_its_name() {
        let profile = read(json!({"llm_profile_ref": "l", "name": "other"})).unwrap();
        assert_eq!((&profile["name"], &profile["schema_version"]), (&json!("p"), &json!(4)));
        assert!(Uuid::parse_str(profile["id"].as_str().unwrap()).is_ok());
        assert_eq!(profile["condenser"]["condenser_kind"], "llm_summarizing");
        let acp = read(json!({"agent_kind": "acp"})).unwrap();
        assert_eq!((&acp["acp_server"], acp.get("tools")), (&json!("claude-code"), None));
    }

    #[test]
    fn profiles_of_older_releases_say_the_same_in_new_words() {
        let old =
            |tools: Value| json!({"llm_profile_ref": "l", "schema_version": 1, "skills": [], "tools": tools});
        assert_eq!(tools(old(json!([]))), Value::Null);
        let own = tools(old(json!([{"name": "terminal"}])));
        assert_eq!(own, json!([{"name": "terminal", "params": {}}, {"name": "switch_llm", "params": {}}]));
        let switched =
            tools(json!({"llm_profile_ref": "l", "schema_version": 2, SUB_AGENTS: true, SWITCH_LLM: false}));
        let names: Vec<&str> =
            switched.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["terminal", "file_editor", "task_tracker", "browser_tool_set", "task_tool_set"]);
        assert_eq!(
            tools(json!({"llm_profile_ref": "l", "schema_version": 3, SUB_AGENTS: true})),
            Value::Null
        );
    }

    #[test]
    fn switches_without_a_version_are_those_of_older_releases() {
        assert_eq!(tools(json!({"llm_profile_ref": "l", SUB_AGENTS: false})), Value::Null);
        let with_sub_agents = tools(json!({"llm_profile_ref": "l", SUB_AGENTS: true}));
        assert!(with_sub_agents.as_array().unwrap().contains(&json!({"name": SUB_AGENT_TOOL, "params": {}})));
    }

    #[test]
    fn what_no_known_release_has_written_is_refused() {
        for version in [json!(5), json!(0), json!("4"), json!(true), json!(4.5)] {
            let refused = read(json!({"llm_profile_ref": "l", "schema_version": version}));
            assert!(
                matches!(refused, Err(Refusal::Unfit(why)) if why == "Invalid agent profile"),
                "{version}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place_in_the_profile() {
        let told = |given: Value| match read(given) {
            Err(Refusal::Troubles { root, list }) => {
                let at = |trouble: &Trouble| {
                    root.iter()
                        .map(|&part| Value::from(part))
                        .chain(trouble.at.iter().map(Value::from))
                        .collect::<Value>()
                };
                list.iter().map(|trouble| json!([at(trouble), trouble.kind])).collect::<Value>()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(told(json!({})), json!([[["openhands", "llm_profile_ref"], "missing"]]));
        assert_eq!(
            told(json!({"agent_kind": "acp", "llm_profile_ref": "l"})),
            json!([[["acp", "llm_profile_ref"], "extra_forbidden"]])
        );
        assert_eq!(told(json!({"agent_kind": "zz"})), json!([[[], "union_tag_invalid"]]));
        assert_eq!(
            told(json!({"llm_profile_ref": "l", "schema_version": 4, SWITCH_LLM: true})),
            json!([[["openhands"], "value_error"]])
        );
        let finish = json!([{"name": "FinishTool", "params": {"a": 1}}]);
        assert_eq!(
            told(json!({"llm_profile_ref": "l", "tools": finish})),
            json!([[["openhands", "tools"], "value_error"]])
        );
    }

    #[test]
    fn a_tool_that_is_named_twice_is_one_tool() {
        let named = json!([{"name": "ThinkTool"}, {"name": "x"}, {"name": "think"}, {"name": "x", "params": {"a": 1}}]);
        let once = json!([{"name": "think", "params": {}}, {"name": "x", "params": {"a": 1}}]);
        assert_eq!(tools(json!({"llm_profile_ref": "l", "tools": named})), once);
    }
}
