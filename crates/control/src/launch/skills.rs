//! The skills that an agent has from its start: those of the user and the public ones, as far as its profile wants them. Those of
//! a project are read where it works.

use serde_json::{Value, json};
use types::extensions::{Skill, SkillKind};

use super::resolve::texts;

/// What there is, each with whether it is a public one.
pub(super) type Catalogue = [(Skill, bool)];

/// Bytes of all skills of an agent. Every conversation keeps its own, and they are sent to whoever asks for it.
const MOST_BYTES: usize = 256 << 10;

/// Those that an agent of this profile has, in the form in which agents have them. A name that is not there is nothing wrong. Where
/// there are more than an agent can have, public ones are left out first.
pub(super) fn chosen(catalogue: &Catalogue, profile: &Value) -> Vec<Value> {
    let disabled = texts(profile, "disabled_skills").unwrap_or_default();
    let public = texts(profile, "public_skills");
    let is_wanted = |skill: &Skill, is_public: bool| {
        let is_named = public.as_ref().is_none_or(|names| names.contains(&skill.name));
        !disabled.contains(&skill.name) && (is_named || !is_public)
    };
    let wanted: Vec<&(Skill, bool)> =
        catalogue.iter().filter(|(skill, is_public)| is_wanted(skill, *is_public)).collect();
    let (mut room, mut kept) = (MOST_BYTES, Vec::new());
    for of_public in [false, true] {
        let those = wanted.iter().enumerate().filter(|(_, (_, is_public))| *is_public == of_public);
        for (place, (skill, _)) in those {
            let skill = of_an_agent(skill);
            if let Some(left) = room.checked_sub(skill.to_string().len()) {
                room = left;
                kept.push((place, skill));
            }
        }
    }
    if kept.len() < wanted.len() {
        tracing::warn!(left_out = wanted.len() - kept.len(), "there are more skills than an agent can have");
    }
    kept.sort_by_key(|(place, _)| *place);
    kept.into_iter().map(|(_, skill)| skill).collect()
}

/// Without what nobody would read: agents follow those that are always there, and know of others that they are.
fn of_an_agent(skill: &Skill) -> Value {
    let trigger = trigger(skill);
    let is_followed = trigger.is_null() && !skill.is_agentskills_format;
    json!({
        "name": skill.name,
        "content": if is_followed { skill.content.as_str() } else { "" },
        "trigger": trigger,
        "source": skill.source,
        "description": skill.description,
        "is_agentskills_format": skill.is_agentskills_format,
        "disable_model_invocation": skill.disable_model_invocation,
    })
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
    fn an_agent_has_the_texts_of_skills_that_it_follows_and_only_names_of_others() {
        let content = |kind, triggers: &[&str]| of_an_agent(&skill("s", kind, triggers))["content"].clone();
        assert_eq!(content(SkillKind::Repo, &[]), "c");
        for (kind, triggers) in [
            (SkillKind::AgentSkills, &[][..]),
            (SkillKind::Knowledge, &[]),
            (SkillKind::Knowledge, &["k"]),
            (SkillKind::Repo, &["/s"]),
        ] {
            assert_eq!(content(kind, triggers), "");
        }
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
        let trigger = |kind, triggers: &[&str]| of_an_agent(&skill("s", kind, triggers))["trigger"].clone();
        assert_eq!(trigger(SkillKind::Repo, &[]), Value::Null);
        assert_eq!(trigger(SkillKind::AgentSkills, &[]), Value::Null);
        // Of paths, which its folder says itself: nothing here brings it up, and no model is told of it.
        let pathed = skill("s", SkillKind::AgentSkills, &[]);
        let pathed = of_an_agent(&Skill { disable_model_invocation: true, ..pathed });
        assert_eq!((&pathed["trigger"], &pathed["disable_model_invocation"]), (&Value::Null, &json!(true)));
        assert_eq!(trigger(SkillKind::Knowledge, &[]), json!({"type": "path", "paths": []}));
        assert_eq!(trigger(SkillKind::Knowledge, &["k"]), json!({"type": "keyword", "keywords": ["k"]}));
        let task = json!({"type": "task", "triggers": ["k", "/s"]});
        assert_eq!(trigger(SkillKind::Knowledge, &["k", "/s"]), task);
    }
}
