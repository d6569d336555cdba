//! Skills, plugins and sub-agents are read from files as the peer reads them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use manyhands_tools::extensions::front_matter;
use manyhands_tools::extensions::marketplace::Catalogue;
use manyhands_tools::extensions::project::{self, Home};
use manyhands_tools::extensions::skill::{self, Names};
use manyhands_tools::extensions::{plugin, sub_agent};
use proptest::prelude::*;
use serde_json::{Value, json};
use types::extensions::Skill;

struct World(tempfile::TempDir);

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(path, text)| world.write(path, text));
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(&self, path: &str) -> String {
        self.path(path).to_str().unwrap().to_owned()
    }
}

fn names(skills: &[Skill]) -> Vec<&str> {
    skills.iter().map(|skill| skill.name.as_str()).collect()
}

fn as_json(skills: &[Skill]) -> Value {
    serde_json::to_value(skills).unwrap()
}

#[test]
fn the_skills_of_a_project_are_those_that_the_peer_finds() {
    let world = World::new(&[
        ("p/.agents/skills/sk/SKILL.md", "---\nname: sk\ndescription: d\n---\nbody"),
        ("p/AGENTS.md", "hello agents"),
    ]);
    let agents = json!({"name": "agents", "type": "repo", "content": "hello agents", "triggers": [],
        "source": world.text("p/AGENTS.md"), "description": null, "is_agentskills_format": false,
        "disable_model_invocation": false});
    let sk = json!({"name": "sk", "type": "agentskills", "content": "body", "triggers": [],
        "source": world.text("p/.agents/skills/sk/SKILL.md"), "description": "d", "is_agentskills_format": true,
        "disable_model_invocation": false});
    assert_eq!(as_json(&project::skills(&world.path("p"), None)), json!([agents, sk]));
}

#[test]
fn the_first_folder_wins_and_the_project_goes_before_its_repository() {
    let world = World::new(&[
        ("r/.git/HEAD", ""),
        ("r/AGENTS.md", "of the repository"),
        ("r/CLAUDE.md", "of the repository"),
        ("r/p/AGENTS.md", "of the project"),
        ("r/p/agent.md", "not this one"),
        ("r/p/.agents/skills/one.md", "---\ntriggers: [git, ssh]\n---\nfirst"),
        ("r/p/.openhands/skills/one.md", "second"),
        ("r/p/.openhands/skills/deep/two.md", "two"),
        ("r/p/.openhands/skills/README.md", "no skill"),
        (
            "r/p/.openhands/microagents/three.md",
            "---\nname: named\ninputs:\n  - {name: a, description: b}\n---\ngive ${A}",
        ),
        ("r/p/inner/node_modules/AGENTS.md", "not seen"),
        ("r/p/inner/Agents.md", "for what is inside"),
    ]);
    symlink("CLAUDE.md", world.path("r/GEMINI.md")).unwrap();
    let skills = project::skills(&world.path("r/p"), None);
    assert_eq!(names(&skills), ["agents", "claude", "agents:inner", "one", "deep/two", "named"]);
    let of = |name: &str| skills.iter().find(|skill| skill.name == name).unwrap();
    assert_eq!(of("agents").content, "of the project");
    assert_eq!(
        (of("one").content.as_str(), of("one").triggers.as_slice()),
        ("first", &["git".to_owned(), "ssh".to_owned()][..])
    );
    assert!(of("agents:inner").disable_model_invocation);
    assert_eq!(of("named").triggers, ["/named"]);
    assert!(
        of("named").content.starts_with("give ${A}\n\nIf the user didn't provide"),
        "{}",
        of("named").content
    );
    let tracked = [PathBuf::from("inner/node_modules/AGENTS.md"), PathBuf::from("../AGENTS.md")];
    let skills = project::skills(&world.path("r/p"), Some(&tracked));
    assert_eq!(names(&skills)[2], "agents:inner/node_modules", "the repository says what belongs to it");
}

#[test]
fn one_bad_skill_takes_nothing_from_the_others() {
    let world = World::new(&[
        ("s/good/SKILL.md", "no front matter"),
        ("s/other-name/SKILL.md", "---\nname: another\n---\n"),
        ("s/Bad_Name/SKILL.md", "x"),
        ("s/broken/SKILL.md", "---\nname: [\n---\n"),
        ("s/number/SKILL.md", "---\ndescription: 5\n---\n"),
        ("s/text.md", "---\ntriggers: git\n---\n"),
        ("s/long.md", &"x".repeat(400 * 1024)),
    ]);
    fs::write(world.path("s/bytes.md"), [0xff, 0xfe]).unwrap();
    let search = skill::Search { names: Names::Strict, deep: true, except: None, within: None };
    assert_eq!(names(&skill::of_folder(&world.path("s"), &search)), ["good"]);
    assert!(skill::of_its_folder(&world.path("s/other-name"), &world.path("s"), Names::Any).is_ok());
    assert!(skill::of_folder(Path::new("/nowhere"), &search).is_empty());
}

#[test]
fn a_long_description_is_cut_in_its_middle() {
    let world = World::new(&[("sk/SKILL.md", &format!("---\ndescription: {}\n---\n", "d".repeat(2_000)))]);
    let description = skill::of_its_folder(&world.path("sk"), &world.path("sk"), Names::Strict)
        .unwrap()
        .description
        .unwrap();
    assert_eq!(description.chars().count(), 1_024);
    assert!(
        description.starts_with('d')
            && description.ends_with('d')
            && description.contains("<response clipped>")
    );
}

#[test]
fn what_is_installed_is_not_found_as_the_users_own() {
    let world = World::new(&[
        ("h/.agents/skills/a.md", "first"),
        ("h/.openhands/skills/a.md", "second"),
        ("h/.openhands/skills/b.md", "b"),
        ("h/.openhands/skills/installed/c/note.md", "no skill of the user"),
        ("h/.openhands/plugins/installed/x/.plugin/plugin.json", "{\"name\": \"x\"}"),
        ("h/.openhands/plugins/mine/commands/go.md", "go"),
    ]);
    let home = Home { folder: world.path("h"), persistence: world.path("h/.openhands") };
    let skills = project::skills_of_home(&home);
    assert_eq!(names(&skills), ["a", "b"]);
    assert_eq!(skills[0].content, "first");
    let plugins = project::plugins_of_home(&home);
    assert_eq!(plugins.iter().map(|plugin| plugin.name.as_str()).collect::<Vec<_>>(), ["mine"]);
}

#[test]
fn a_plugin_is_its_manifest_its_skills_and_its_commands() {
    let world = World::new(&[
        (
            "plug/.plugin/plugin.json",
            r#"{"name":"my-plug","version":"1.0","description":"dd","author":"A <a@b.c>"}"#,
        ),
        ("plug/commands/hi.md", "say hi"),
        ("plug/commands/now.md", "---\ndescription: Tells it\nargument-hint: [city, unit]\n---\nnow"),
        ("plug/commands/README.md", "x"),
        ("plug/skills/inner/SKILL.md", "---\nname: Another_Name\n---\n"),
        ("plug/.git/config", "x"),
    ]);
    let loaded = plugin::load(&world.path("plug")).unwrap();
    assert_eq!(
        loaded.commands[1].content,
        "## now\n\nTells it\n\n**Arguments**: `$ARGUMENTS` - city unit\n\n\nnow"
    );
    let described = serde_json::to_value(loaded.described()).unwrap();
    let wanted = json!({"name": "my-plug", "version": "1.0", "description": "dd", "path": world.text("plug"),
        "skills": [{"name": "Another_Name", "description": null}, {"name": "my-plug:hi", "description": "Command hi from my-plug"},
            {"name": "my-plug:now", "description": "Tells it"}],
        "files": [".plugin/plugin.json", "commands/README.md", "commands/hi.md", "commands/now.md", "skills/inner/SKILL.md"]});
    assert_eq!(described, wanted);
}

#[test]
fn a_plugin_without_a_manifest_is_called_as_its_folder_and_a_bad_one_is_none() {
    let world = World::new(&[
        ("bare/SKILL.md", "x"),
        ("bad/.plugin/plugin.json", "{\"name\": 5}"),
        (
            "portable/plugin.json",
            r#"{"$schema": "https://agent-plugins.org/schemas/1.0.0/plugin.schema.json", "name": "p.q"}"#,
        ),
        ("portable/dev.openhands/commands/c.md", "c"),
        (
            "future/plugin.json",
            r#"{"$schema": "https://agent-plugins.org/schemas/9/plugin.schema.json", "name": "p"}"#,
        ),
        ("foreign/plugin.json", r#"{"name": "of another tool"}"#),
        ("secret", r#"{"name": "outside"}"#),
    ]);
    let bare = plugin::load(&world.path("bare")).unwrap();
    assert_eq!((bare.name.as_str(), bare.skills.len()), ("bare", 1));
    let portable = plugin::load(&world.path("portable")).unwrap();
    assert_eq!((portable.name.as_str(), portable.commands[0].name.as_str()), ("p.q", "p.q:c"));
    assert_eq!(plugin::load(&world.path("foreign")).unwrap().name, "foreign");
    for bad in ["bad", "future", "nowhere", "secret"] {
        assert!(plugin::load(&world.path(bad)).is_err(), "{bad}");
    }
    fs::create_dir(world.path("bare/.plugin")).unwrap();
    symlink("../../secret", world.path("bare/.plugin/plugin.json")).unwrap();
    assert!(plugin::load(&world.path("bare")).is_err(), "its manifest is elsewhere");
}

#[test]
fn a_sub_agent_has_all_that_the_peer_shows() {
    let world = World::new(&[
        ("p/.agents/agents/x.md", "---\nname: x\ndescription: dd\ntools: [terminal]\n---\nprompt"),
        ("p/.agents/agents/README.md", "no agent"),
        ("p/.agents/agents/deep/y.md", "not seen"),
        ("p/.openhands/agents/x.md", "second"),
        (
            "p/.openhands/agents/full.md",
            "---\ndescription: Use <example>when a</example> <EXAMPLE> when b </EXAMPLE>\nskills: a, b\npermission_mode: \
             Never_Confirm\nmax_iteration_per_run: 5\nmax_budget_per_run: 1.5\ncondenser: none\nmore: [1]\nmcp_servers: {f: {command: c}}\n---\np",
        ),
        ("p/.openhands/agents/bad.md", "---\npermission_mode: always\n---\n"),
    ]);
    let found = serde_json::to_value(sub_agent::of_project(&world.path("p"))).unwrap();
    let x = json!({"name": "x", "description": "dd", "model": "inherit", "color": null, "tools": ["terminal"], "skills": [],
        "system_prompt": "prompt", "when_to_use_examples": [], "permission_mode": null, "max_iteration_per_run": null,
        "max_budget_per_run": null, "mcp_config": null, "profile_store_dir": null, "hooks": null, "condenser": null,
        "metadata": {}, "level": "project", "source": world.text("p/.agents/agents/x.md")});
    assert_eq!((found.as_array().unwrap().len(), &found[0]), (2, &x));
    let full = &found[1];
    assert_eq!(
        (&full["name"], &full["when_to_use_examples"]),
        (&json!("full"), &json!(["when a", "when b"]))
    );
    assert_eq!((&full["skills"], &full["permission_mode"]), (&json!(["a", "b"]), &json!("never_confirm")));
    assert_eq!((&full["max_iteration_per_run"], &full["max_budget_per_run"]), (&json!(5), &json!(1.5)));
    assert_eq!(
        (&full["condenser"]["kind"], &full["metadata"]),
        (&json!("NoOpCondenser"), &json!({"more": [1]}))
    );
    assert_eq!(full["mcp_config"], json!({"f": {"command": "c"}}));
}

#[test]
fn a_catalogue_offers_plugins_before_skills_and_leads_nowhere_else() {
    let catalogue = json!({"name": "n", "owner": {"name": "o"}, "plugins": [
        {"name": "a", "source": "./skills/a", "description": "A"},
        {"name": "p", "source": "./plugins/p"},
        {"name": "far", "source": {"source": "github", "repo": "o/r", "ref": "v1", "path": "plugins/far"}},
        {"name": "../../outside", "source": "./x"},
    ], "skills": [{"name": "a", "source": "./other"}, {"name": "s", "source": "./skills/s"}]});
    let world = World::new(&[
        ("c/.plugin/marketplace.json", &catalogue.to_string()),
        ("c/skills/a/SKILL.md", "a"),
        ("c/plugins/p/commands/go.md", "go"),
        ("outside/SKILL.md", "secret"),
        ("plain/skills/one/SKILL.md", "---\ndescription: d\n---\n"),
    ]);
    let loaded = Catalogue::load_public(&world.path("c")).unwrap();
    assert_eq!(names(&loaded.public_skills()), ["a"]);
    let offered = loaded.offered();
    let offer = |name: &str| offered.iter().find(|offer| offer.name == name).unwrap();
    assert_eq!(
        offered.iter().filter(|offer| offer.is_plugin).map(|offer| offer.name.as_str()).collect::<Vec<_>>(),
        ["p", "far"]
    );
    assert_eq!(
        (offer("a").source.as_str(), offer("s").source.as_str()),
        (world.text("c/skills/a").as_str(), "./skills/s")
    );
    assert_eq!(offer("p").contents.as_ref().unwrap().files, ["commands/go.md"]);
    assert_eq!((offer("far").source.as_str(), offer("far").reference.as_deref()), ("github:o/r", Some("v1")));
    assert!(Catalogue::load_file(&world.path("c"), "../c/.plugin/marketplace.json").is_err());
    assert!(Catalogue::load_file(&world.path("c"), &world.text("c/.plugin/marketplace.json")).is_err());
    let plain = Catalogue::of_skills_in(&world.path("plain"));
    assert_eq!(
        (plain.skills[0].name.as_str(), plain.folder_of(&plain.skills[0])),
        ("one", Some(world.path("plain/skills/one")))
    );
}

#[test]
fn an_entry_of_a_catalogue_leads_to_no_folder_of_the_machine_but_its_own() {
    let outside = |world: &World| world.text("outside");
    let world = World::new(&[
        ("outside/.plugin/plugin.json", r#"{"name": "secret", "version": "1", "description": "d"}"#),
        ("outside/commands/go.md", "secret"),
        ("outside/SKILL.md", "secret"),
        ("outside/one.md", "secret"),
        ("c/plugins/own/commands/go.md", "go"),
        ("c/skills/linked-file/note", "x"),
    ]);
    for (link, target) in [
        ("c/plugins/linked", "outside"),
        ("c/skills/linked", "outside"),
        ("c/skills/linked-file/SKILL.md", "outside/SKILL.md"),
        ("c/skills/single.md", "outside/one.md"),
    ] {
        std::os::unix::fs::symlink(world.path(target), world.path(link)).unwrap();
    }
    let plugins = json!([
        {"name": "own", "source": "./plugins/own"},
        {"name": "missing", "source": "./plugins/missing"},
        {"name": "linked", "source": "./plugins/linked"},
        {"name": "above", "source": "./plugins/../../outside"},
        {"name": "whole", "source": outside(&world)},
        {"name": "home", "source": "~/outside"},
        {"name": "repository", "source": {"source": "url", "url": outside(&world), "path": null}},
        {"name": "file", "source": {"source": "url", "url": format!("file://{}", outside(&world))}},
        {"name": "file-text", "source": format!("file://{}", outside(&world))},
        {"name": "blank", "source": {"source": "url", "url": format!(" file://{}", outside(&world))}},
        {"name": "blank-text", "source": format!(" file://{}", outside(&world))},
        {"name": "blank-folder", "source": format!(" {}", outside(&world))},
        {"name": "user", "source": {"source": "url", "url": "a@b/../../x"}},
        {"name": "user-text", "source": "a@b/../../x"},
        {"name": "scope", "source": {"source": "url", "url": "@scope/x"}},
        {"name": "far", "source": {"source": "url", "url": " git@host:o/r.git"}},
        {"name": "linked-file", "source": "./skills/linked-file"},
        {"name": "single", "source": "./skills/single"},
    ]);
    let skills = json!([{"name": "blank-skill", "source": format!(" {}", outside(&world))}]);
    let catalogue =
        json!({"name": "n", "owner": {"name": "o"}, "plugins": plugins, "skills": skills}).to_string();
    fs::create_dir(world.path("c/marketplaces")).unwrap();
    fs::write(world.path("c/marketplaces/default.json"), &catalogue).unwrap();
    let loaded = Catalogue::load_public(&world.path("c")).unwrap();
    let offered = loaded.offered();
    let names: Vec<_> = offered.iter().map(|offer| offer.name.as_str()).collect();
    assert_eq!(names, ["own", "missing", "far", "linked-file", "single"]);
    assert!(offered.iter().all(|offer| !format!("{offer:?}").contains("secret")), "{offered:?}");
    assert!(loaded.public_skills().is_empty(), "{:?}", loaded.public_skills());
    // Nor is the catalogue itself elsewhere; it may be a link all the same.
    let link = world.path("c/marketplaces/default.json");
    fs::rename(&link, world.path("c/real.json")).unwrap();
    std::os::unix::fs::symlink("../real.json", &link).unwrap();
    assert_eq!(Catalogue::load_public(&world.path("c")).unwrap().offered().len(), names.len());
    fs::remove_file(&link).unwrap();
    fs::write(world.path("outside/m.json"), &catalogue).unwrap();
    std::os::unix::fs::symlink(world.path("outside/m.json"), world.path("c/marketplaces/default.json"))
        .unwrap();
    assert!(Catalogue::load_public(&world.path("c")).is_err());
}

/// What means something in YAML.
const STRANGE: &str = r##"[-a:\[\]{}&*!|>'"%@#,?~ \n\t\\0x.é]{0,60}"##;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// It may be refused.
    #[test]
    fn no_front_matter_is_too_strange_to_be_looked_at(fields in STRANGE, content in "[a-z\\n-]{0,20}") {
        let _ = front_matter::read(&format!("---\n{fields}\n---\n{content}"));
    }
}
