//! The skills that an agent has from its start: those of the user and the public ones, as far as its profile wants them. Those of
//! a project are read where it works.

use serde_json::{Value, json};
use types::extensions::{Skill, SkillKind};

use super::resolve::texts;

/// What there is, each with whether it is a public one.
pub(super) type Catalogue = [(Skill, bool)];

/// Those that an agent of this profile has, in the form in which agents have them. A name that is not there is nothing wrong.
pub(super) fn chosen(catalogue: &Catalogue, profile: &Value) -> Vec<Value> {
    let disabled = texts(profile, "disabled_skills").unwrap_or_default();
    let public = texts(profile, "public_skills");
    let is_wanted = |skill: &Skill, is_public: bool| {
        let is_named = public.as_ref().is_none_or(|names| names.contains(&skill.name));
        !disabled.contains(&skill.name) && (is_named || !is_public)
    };
    let wanted = catalogue.iter().filter(|(skill, is_public)| is_wanted(skill, *is_public));
    wanted.map(|(skill, _)| of_an_agent(skill)).collect()
}

fn of_an_agent(skill: &Skill) -> Value {
    json!({
        "name": skill.name,
        "content": skill.content,
        "trigger": trigger(skill),
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
    fn a_skill_is_brought_up_by_what_brought_it_up_in_its_file() {
        let trigger = |kind, triggers: &[&str]| of_an_agent(&skill("s", kind, triggers))["trigger"].clone();
        assert_eq!(trigger(SkillKind::Repo, &[]), Value::Null);
        assert_eq!(trigger(SkillKind::AgentSkills, &[]), Value::Null);
        assert_eq!(trigger(SkillKind::Knowledge, &[]), json!({"type": "path", "paths": []}));
        assert_eq!(trigger(SkillKind::Knowledge, &["k"]), json!({"type": "keyword", "keywords": ["k"]}));
        let task = json!({"type": "task", "triggers": ["k", "/s"]});
        assert_eq!(trigger(SkillKind::Knowledge, &["k", "/s"]), task);
    }
}
