//! The skills that an agent has from its start: those of the user and the public ones, as far as its profile wants them. Those of
//! a project are read where it works.

use std::collections::HashSet;

use serde_json::{Value, json};
use types::extensions::{Skill, SkillKind};

use super::resolve::texts;

/// What there is, each with whether it is a public one.
pub(super) type Catalogue = [(Skill, bool)];

/// Bytes of all skills of an agent. Every conversation stores its own, and they are sent to whoever asks for it.
const MOST_BYTES: usize = 256 << 10;

/// As many more for texts that are only brought up at times.
const MOST_BYTES_OF_OTHERS: usize = 256 << 10;

/// Those that an agent of this profile has, in the form in which agents have them. A name that is not there is nothing wrong. Where
/// there are more than an agent can have, public ones are left out first.
pub(super) fn chosen(catalogue: &Catalogue, profile: &Value) -> Vec<Value> {
    let names = |field| texts(profile, field).map(HashSet::<String>::from_iter);
    let disabled = names("disabled_skills").unwrap_or_default();
    let public = names("public_skills");
    let is_wanted = |skill: &Skill, is_public: bool| {
        let is_named = public.as_ref().is_none_or(|names| names.contains(&skill.name));
        !disabled.contains(&skill.name) && (is_named || !is_public)
    };
    let wanted: Vec<&(Skill, bool)> =
        catalogue.iter().filter(|(skill, is_public)| is_wanted(skill, *is_public)).collect();
    let (mut room, mut room_of_others, mut kept) = (MOST_BYTES, MOST_BYTES_OF_OTHERS, Vec::new());
    for of_public in [false, true] {
        let those = wanted.iter().enumerate().filter(|(_, (_, is_public))| *is_public == of_public);
        for (place, (skill, _)) in those {
            let (mut shown, later) = of_an_agent(skill);
            let Some(left) = room.checked_sub(shown.to_string().len()) else { continue };
            room = left;
            let text = later.unwrap_or_default();
            if let Some(left) = room_of_others.checked_sub(Value::from(text).to_string().len()) {
                room_of_others = left;
                put_text(&mut shown, text);
            }
            kept.push((place, shown));
        }
    }
    if kept.len() < wanted.len() {
        tracing::warn!(left_out = wanted.len() - kept.len(), "there are more skills than an agent can have");
    }
    kept.sort_by_key(|(place, _)| *place);
    kept.into_iter().map(|(_, skill)| skill).collect()
}

/// As an agent has it from its start, and the text that comes when it is brought up: agents follow those that are always there,
/// and know of others that they are.
fn of_an_agent(skill: &Skill) -> (Value, Option<&str>) {
    let trigger = trigger(skill);
    let is_followed = trigger.is_null() && !skill.is_agentskills_format;
    let shown = json!({
        "name": skill.name,
        "content": if is_followed { skill.content.as_str() } else { "" },
        "trigger": trigger,
        "source": skill.source,
        "description": skill.description,
        "is_agentskills_format": skill.is_agentskills_format,
        "disable_model_invocation": skill.disable_model_invocation,
    });
    (shown, (!is_followed).then_some(skill.content.as_str()))
}

fn put_text(shown: &mut Value, text: &str) {
    if let Some(content) = shown.get_mut("content").filter(|_| !text.is_empty()) {
        *content = text.into();
    }
}

/// What brings it up; null: it is always there, or listed.
fn trigger(skill: &Skill) -> Value {
    let triggers = &skill.triggers;
    if triggers.contains(&format!("/{}", skill.name)) {
        return json!({"type": "task", "triggers": triggers});
    }
    if triggers.is_empty() && skill.kind == SkillKind::Knowledge {
        // Of places in a project: it knows them where it is read.
        return json!({"type": "path", "paths": []});
    }
    if triggers.is_empty() { Value::Null } else { json!({"type": "keyword", "keywords": triggers}) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skill(name: &str, kind: SkillKind, triggers: &[&str]) -> Skill {
        Skill {
            name: name.to_owned(),
            kind,
            content: "c".to_owned(),
            triggers: triggers.iter().map(|trigger| (*trigger).to_owned()).collect(),
            source: None,
            description: None,
            is_agentskills_format: kind == SkillKind::AgentSkills,
            disable_model_invocation: false,
        }
    }

    #[test]
    fn a_profile_takes_skills_away_and_chooses_among_the_public_ones_alone() {
        let catalogue = [("own", false), ("one", true), ("two", true), ("off", false)]
            .map(|(name, is_public)| (skill(name, SkillKind::Repo, &[]), is_public));
        let names = |profile: Value| {
            let chosen = chosen(&catalogue, &profile);
            chosen.iter().map(|skill| skill["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(json!({"public_skills": null})), ["own", "one", "two", "off"]);
        assert_eq!(names(json!({"disabled_skills": ["off", "one", "gone"]})), ["own", "two"]);
        assert_eq!(names(json!({"public_skills": ["two", "gone"]})), ["own", "two", "off"]);
        assert_eq!(names(json!({"public_skills": [], "disabled_skills": ["own"]})), ["off"]);
    }

    #[test]
    fn an_agent_keeps_the_texts_of_all_its_skills_also_of_those_that_are_brought_up_later() {
        for (kind, triggers) in [
            (SkillKind::Repo, &[][..]),
            (SkillKind::AgentSkills, &[]),
            (SkillKind::Knowledge, &[]),
            (SkillKind::Knowledge, &["k"]),
            (SkillKind::Repo, &["/s"]),
        ] {
            let chosen = chosen(&[(skill("s", kind, triggers), false)], &json!({}));
            assert_eq!(chosen[0]["content"], "c", "{kind:?} {triggers:?}");
        }
    }

    #[test]
    fn texts_that_are_brought_up_later_take_no_room_from_those_that_are_followed() {
        let large = |name: &str, triggers: &[&str]| Skill {
            content: "c".repeat(100 << 10),
            ..skill(name, SkillKind::Knowledge, triggers)
        };
        let followed = Skill { kind: SkillKind::Repo, ..large("followed", &[]) };
        let catalogue = ["1", "2", "3"].map(|name| (large(name, &["k"]), true)).into_iter();
        let catalogue: Vec<_> = catalogue.chain([(followed, true)]).collect();
        let chosen = chosen(&catalogue, &json!({}));
        let texts: Vec<bool> = chosen.iter().map(|skill| skill["content"] != "").collect();
        assert_eq!(texts, [true, true, false, true]);
        let bytes: usize = chosen.iter().map(|skill| skill.to_string().len()).sum();
        assert!(bytes <= MOST_BYTES + MOST_BYTES_OF_OTHERS);
    }

    #[test]
    fn of_more_skills_than_an_agent_can_have_public_ones_are_left_out_first() {
        let large =
            |name: &str| Skill { content: "c".repeat(100 << 10), ..skill(name, SkillKind::Repo, &[]) };
        let catalogue = [
            (large("public-1"), true),
            (skill("public-small", SkillKind::Repo, &[]), true),
            (large("own-1"), false),
            (large("own-2"), false),
            (large("own-3"), false),
        ];
        let chosen = chosen(&catalogue, &json!({}));
        let names: Vec<&str> = chosen.iter().map(|skill| skill["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["public-small", "own-1", "own-2"]);
        assert!(chosen.iter().map(|skill| skill.to_string().len()).sum::<usize>() <= MOST_BYTES);
    }

    #[test]
    fn a_skill_is_brought_up_by_what_brought_it_up_in_its_file() {
        let trigger = |kind, triggers: &[&str]| of_an_agent(&skill("s", kind, triggers)).0["trigger"].clone();
        assert_eq!(trigger(SkillKind::Repo, &[]), Value::Null);
        assert_eq!(trigger(SkillKind::AgentSkills, &[]), Value::Null);
        // Of paths, which its folder says itself: nothing here brings it up, and no model is told of it.
        let pathed = skill("s", SkillKind::AgentSkills, &[]);
        let pathed = Skill { disable_model_invocation: true, ..pathed };
        let (pathed, _) = of_an_agent(&pathed);
        assert_eq!((&pathed["trigger"], &pathed["disable_model_invocation"]), (&Value::Null, &json!(true)));
        assert_eq!(trigger(SkillKind::Knowledge, &[]), json!({"type": "path", "paths": []}));
        assert_eq!(trigger(SkillKind::Knowledge, &["k"]), json!({"type": "keyword", "keywords": ["k"]}));
        let task = json!({"type": "task", "triggers": ["k", "/s"]});
        assert_eq!(trigger(SkillKind::Knowledge, &["k", "/s"]), task);
    }
}
