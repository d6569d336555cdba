//! Skills, plugins, hooks, sub-agents and extensions of the user interface: found in folders, installed and shown, with the words
//! of the peer.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::client::Answer;
use testing::server::{Server, Start};

const MANIFEST: &str = r#"{"schema_version": 1, "name": "my-app", "display_name": "My App", "version": "2", "entrypoint": "dist/index.js",
    "icon": "icon.svg", "contributes": {"pages": [{"id": "home", "title": "Home", "path": "/home"}]}}"#;

struct World {
    server: Server,
}

impl World {
    /// With a home and a public catalogue of its own.
    fn start() -> Self {
        Self { server: Self::how().start() }
    }

    fn how() -> Start {
        let start = Start::new(env!("CARGO_BIN_EXE_manyhands"));
        let folder = start.folder().canonicalize().unwrap();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        start
            .with("HOME", &path("home"))
            .with("OH_PERSISTENCE_DIR", &path("kept"))
            .with("EXTENSIONS_PATH", &path("public"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.server.folder().canonicalize().unwrap().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The folder that the peer was asked about.
    fn project(&self) -> String {
        self.write("proj/.agents/skills/sk/SKILL.md", "---\nname: sk\ndescription: d\n---\nbody");
        self.write("proj/AGENTS.md", "hello agents");
        self.write(
            "proj/.openhands/hooks.json",
            r#"{"hooks":{"PreToolUse":[{"matcher":"*","hooks":[{"type":"command","command":"true"}]}]}}"#,
        );
        self.write(
            "proj/.agents/agents/x.md",
            "---\nname: x\ndescription: dd\ntools: [terminal]\n---\nprompt",
        );
        self.text("proj")
    }

    fn plugin(&self) -> String {
        self.write("plug/.plugin/plugin.json", r#"{"name":"my-plug","version":"1.0","description":"dd"}"#);
        self.write("plug/commands/hi.md", "say hi");
        self.text("plug")
    }

    fn app(&self) -> String {
        self.write("app/canvas-extension.json", MANIFEST);
        self.write("app/dist/index.js", "export default 1;");
        self.write("app/icon.svg", "<svg onload='alert(1)'/>");
        self.text("app")
    }

    fn git(&self, folder: &str, args: &[&str]) {
        let author = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"];
        let done =
            Command::new("git").args(author).args(args).current_dir(self.path(folder)).output().unwrap();
        assert!(done.status.success(), "{args:?}: {done:?}");
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.server.client.post(path, &body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.server.client.get(path).await
    }

    async fn ok(&self, path: &str, body: Value) -> Value {
        self.server.client.post_ok(path, &body).await
    }

    async fn skills(&self, more: Value) -> Value {
        let mut body =
            json!({"load_public": false, "load_user": false, "load_project": false, "load_org": false});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ok("/api/skills", body).await
    }
}

fn detail(status: u16, text: &str) -> Answer {
    (StatusCode::from_u16(status).unwrap(), json!({ "detail": text }))
}

/// Without what differs each time.
fn without_time(mut value: Value) -> Value {
    value.as_object_mut().unwrap().remove("installed_at").expect("the moment of its installation");
    value
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_project_holds_is_told_as_the_peer_tells_it() {
    let world = World::start();
    let project = world.project();
    let body = json!({"load_public": false, "load_user": true, "load_project": true, "load_org": false, "project_dir": project});
    let agents = json!({"name": "agents", "type": "repo", "content": "hello agents", "triggers": [],
        "source": world.text("proj/AGENTS.md"), "description": null, "is_agentskills_format": false,
        "disable_model_invocation": false});
    let sk = json!({"name": "sk", "type": "agentskills", "content": "body", "triggers": [],
        "source": world.text("proj/.agents/skills/sk/SKILL.md"), "description": "d", "is_agentskills_format": true,
        "disable_model_invocation": false});
    let sources = json!({"sandbox": 0, "registered_marketplaces": 0, "sdk_base": 0, "org": 0, "project": 2});
    assert_eq!(world.ok("/api/skills", body).await, json!({"skills": [agents, sk], "sources": sources}));

    let hook = json!({"type": "command", "name": null, "command": "true", "prompt": null, "system_prompt": null, "tools": [],
        "timeout": 60, "max_iterations": 3, "async": false});
    let hooks = json!({"hook_config": {"pre_tool_use": [{"matcher": "*", "hooks": [hook]}], "post_tool_use": [],
        "user_prompt_submit": [], "session_start": [], "session_end": [], "stop": []}});
    assert_eq!(world.ok("/api/hooks", json!({ "project_dir": project })).await, hooks);
    assert_eq!(world.ok("/api/hooks", json!({})).await, json!({"hook_config": null}));

    let found = world.ok("/api/sub-agents", json!({ "project_dir": project })).await;
    let x = json!({"name": "x", "description": "dd", "model": "inherit", "color": null, "tools": ["terminal"], "skills": [],
        "system_prompt": "prompt", "when_to_use_examples": [], "permission_mode": null, "max_iteration_per_run": null,
        "max_budget_per_run": null, "mcp_config": null, "mcp_servers": null, "profile_store_dir": null, "hooks": null,
        "condenser": null, "metadata": {}, "level": "project", "source": world.text("proj/.agents/agents/x.md"),
        "is_builtin": false});
    assert_eq!(found["agents"][0], x);
    assert_eq!(names(&found["agents"]), ["x", "bash-runner", "code-explorer", "general-purpose"]);
    assert_eq!(found["agents"][1]["is_builtin"], true);
    assert_eq!(world.ok("/api/plugins", json!({ "project_dir": project })).await, json!({"plugins": []}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_source_is_an_empty_one() {
    let world = World::start();
    let empty = json!({"sandbox": 0, "registered_marketplaces": 0, "sdk_base": 0, "org": 0, "project": 0});
    for project in ["rel/x", "/nowhere/at/all", ""] {
        let body =
            json!({"load_public": true, "load_project": true, "load_user": true, "project_dir": project});
        assert_eq!(world.skills(body).await, json!({"skills": [], "sources": empty}), "{project}");
    }
    let marketplace = json!({"registered_marketplaces": [{"name": "m", "source": "/nowhere", "auto_load": true}],
        "load_public": true, "load_org": true,
        "org_configs": [{"repository": "o/r", "provider": "github", "org_repo_url": "file:///nowhere", "org_name": "o"}]});
    assert_eq!(world.skills(marketplace).await["sources"], empty);
    assert_eq!(world.get("/api/skills/catalog").await, (StatusCode::OK, json!({"skills": []})));
    assert_eq!(world.get("/api/skills/marketplace").await, (StatusCode::OK, json!({"skills": []})));
    assert_eq!(world.get("/api/plugins/marketplace").await, (StatusCode::OK, json!({"plugins": []})));
    let failed = json!({"status": "error", "message": "Failed to sync skills repository"});
    assert_eq!(world.ok("/api/skills/sync", Value::Null).await, failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_sources_win_by_name() {
    let world = World::start();
    let catalogue = r#"{"name":"n","owner":{"name":"o"},"plugins":[{"name":"one","source":"./skills/one"},{"name":"p","source":"./plugins/p","description":"P"}]}"#;
    world.write("public/marketplaces/default.json", catalogue);
    world.write("public/skills/one/SKILL.md", "public");
    world.write("public/skills/hidden/SKILL.md", "not in the catalogue");
    world.write("public/plugins/p/commands/go.md", "go");
    world.write("kept/skills/one.md", "user");
    world.write("market/skills/one/SKILL.md", "marketplace");
    world.write("market/skills/two/SKILL.md", "two");
    world.write("org/skills/one.md", "organization");
    world.git("org", &["init", "--quiet"]);
    world.git("org", &["add", "."]);
    world.git("org", &["commit", "--quiet", "-m", "x"]);
    world.write("proj/.agents/skills/one.md", "project");
    let with = |levels: usize| {
        let mut body = json!({"load_public": true, "registered_marketplaces":
            [{"name": "m", "source": world.text("market"), "auto_load": ["one"]}]});
        if levels > 1 {
            body["load_user"] = true.into();
        }
        if levels > 2 {
            body["load_org"] = true.into();
            let url = format!("file://{}", world.text("org"));
            body["org_configs"] =
                json!([{"repository": "o/r", "provider": "github", "org_repo_url": url, "org_name": "o"}]);
        }
        if levels > 3 {
            body["load_project"] = true.into();
            body["project_dir"] = world.text("proj").into();
        }
        body
    };
    for (levels, wanted) in [(1, "public"), (2, "user"), (3, "organization"), (4, "project")] {
        let found = world.skills(with(levels)).await;
        assert_eq!(
            (names(&found["skills"]), &found["skills"][0]["content"]),
            (vec!["one"], &json!(wanted)),
            "{found}"
        );
        assert_eq!(found["sources"]["registered_marketplaces"], 1);
    }
    let all = world.skills(json!({"load_public": true, "marketplace_path": null})).await;
    assert_eq!(names(&all["skills"]), ["hidden", "one"]);
    let worker = json!({"exposed_urls": [{"name": "WORKER_1", "url": "http://x", "port": 1}, {"name": "VSCODE", "url": "http://y", "port": 2}]});
    let hosts = world.skills(json!({ "sandbox_config": worker })).await;
    assert_eq!(hosts["skills"][0]["name"], "work_hosts");
    assert!(hosts["skills"][0]["content"].as_str().unwrap().ends_with("port:\n* http://x (port 1)"));
    let (_, catalogue) = world.get("/api/skills/catalog").await;
    assert_eq!(
        (&catalogue["skills"][0]["name"], &catalogue["skills"][0]["origin"]),
        (&json!("one"), &json!("user"))
    );
    let (_, offered) = world.get("/api/skills/marketplace").await;
    let one = json!({"name": "one", "description": null, "source": world.text("public/skills/one"), "installed": false});
    assert_eq!(offered["skills"][0], one);
    let (_, offered) = world.get("/api/plugins/marketplace").await;
    let p = json!({"name": "p", "description": "P", "source": world.text("public/plugins/p"), "ref": null, "repo_path": null,
        "installed": false, "path": world.text("public/plugins/p"), "skills": [{"name": "p:go", "description": "Command go from p"}],
        "files": ["commands/go.md"]});
    assert_eq!(offered, json!({ "plugins": [p] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_skill_is_installed_switched_refreshed_and_removed_with_the_peers_words() {
    let world = World::start();
    let project = world.project();
    let source = world.text("proj/.agents/skills/sk");
    let install = |source: &str| json!({ "source": source });
    let wanted = |enabled: bool| {
        json!({"name": "sk", "version": "1.0.0", "description": "d", "enabled": enabled, "source": source,
            "resolved_ref": null, "repo_path": null, "install_path": world.text("kept/skills/installed/sk")})
    };
    let (status, one) = world.post("/api/skills/install", install(&source)).await;
    assert_eq!((status, without_time(one.clone())), (StatusCode::OK, wanted(true)));
    assert!(one["installed_at"].as_str().unwrap().ends_with("+00:00"), "{one}");
    assert_eq!(
        fs::read_to_string(world.path("kept/skills/installed/sk/SKILL.md")).unwrap(),
        "---\nname: sk\ndescription: d\n---\nbody"
    );
    let taken = "Skill already installed. Use force=true to overwrite.";
    assert_eq!(world.post("/api/skills/install", install(&source)).await, detail(409, taken));
    let unreached = "Failed to fetch skill source. Check that the source is valid.";
    for nowhere in ["/nope", "zzz", "github:x"] {
        assert_eq!(
            world.post("/api/skills/install", install(nowhere)).await,
            detail(400, unreached),
            "{nowhere}"
        );
    }
    let none = "Invalid skill. Ensure the source contains a valid SKILL.md.";
    assert_eq!(world.post("/api/skills/install", install(&project)).await, detail(422, none));
    let (status, refused) = world.post("/api/skills/install", install("")).await;
    assert_eq!((status.as_u16(), &refused["detail"][0]["type"]), (422, &json!("string_too_short")));

    assert_eq!(world.get("/api/skills/installed").await, (StatusCode::OK, json!({ "skills": [one] })));
    assert_eq!(world.get("/api/skills/installed/sk").await, (StatusCode::OK, one.clone()));
    let missing = detail(404, "Skill 'no' is not installed");
    assert_eq!(world.get("/api/skills/installed/no").await, missing);
    let (status, refused) = world.get("/api/skills/installed/Bad_Name").await;
    let problem = json!({"type": "string_pattern_mismatch", "loc": ["path", "skill_name"],
        "msg": "String should match pattern '^[a-z0-9]+(-[a-z0-9]+)*$'", "ctx": {"pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"}});
    assert_eq!((status.as_u16(), &refused["detail"][0]), (422, &problem));

    assert_eq!(names(&world.skills(json!({"load_user": true})).await["skills"]), ["sk"]);
    let off = world.server.client.patch("/api/skills/installed/sk", &json!({"enabled": false})).await;
    assert_eq!(off, (StatusCode::OK, json!({"name": "sk", "enabled": false})));
    assert_eq!(
        world.skills(json!({"load_user": true})).await["skills"],
        json!([]),
        "what is disabled is not available"
    );
    world.write("proj/.agents/skills/sk/SKILL.md", "---\nname: sk\ndescription: d\n---\nnewer");
    let (status, refreshed) = world.post("/api/skills/installed/sk/refresh", Value::Null).await;
    assert_eq!((status, &refreshed["message"]), (StatusCode::OK, &json!("Skill 'sk' updated")));
    assert_eq!(without_time(refreshed["skill"].clone()), wanted(false));
    let forced = world.ok("/api/skills/install", json!({"source": source, "force": true})).await;
    assert_eq!(forced["enabled"], false, "it stays as it was");
    let client = &world.server.client;
    assert_eq!(
        client.delete("/api/skills/installed/sk").await,
        (StatusCode::OK, json!({"message": "Skill 'sk' uninstalled"}))
    );
    assert_eq!(client.delete("/api/skills/installed/sk").await, detail(404, "Skill 'sk' is not installed"));
    assert!(!world.path("kept/skills/installed/sk").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_refresh_keeps_what_was_installed() {
    let world = World::start();
    world.write("sk/SKILL.md", "first");
    world.ok("/api/skills/install", json!({"source": world.text("sk")})).await;
    let before = world.get("/api/skills/installed/sk").await;
    fs::remove_file(world.path("sk/SKILL.md")).unwrap();
    let refresh = "/api/skills/installed/sk/refresh";
    let invalid = "The source of skill 'sk' no longer holds a valid skill. The installed copy was kept.";
    assert_eq!(world.post(refresh, Value::Null).await, detail(422, invalid));
    fs::remove_dir(world.path("sk")).unwrap();
    let gone = "Failed to fetch the source of skill 'sk'. The installed copy was kept.";
    assert_eq!(world.post(refresh, Value::Null).await, detail(400, gone));
    assert_eq!(
        world.post("/api/skills/installed/no/refresh", Value::Null).await,
        detail(404, "Skill 'no' is not installed")
    );
    assert_eq!(world.get("/api/skills/installed/sk").await, before);
    assert_eq!(world.skills(json!({"load_user": true})).await["skills"][0]["content"], "first");
    assert_eq!(fs::read_to_string(world.path("kept/skills/installed/sk/SKILL.md")).unwrap(), "first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_is_installed_and_shown_with_what_is_in_it() {
    let world = World::start();
    let source = world.plugin();
    let skills = json!([{"name": "my-plug:hi", "description": "Command hi from my-plug"}]);
    let files = json!([".plugin/plugin.json", "commands/hi.md"]);
    let wanted = json!({"name": "my-plug", "version": "1.0", "description": "dd", "enabled": true, "source": source,
        "resolved_ref": null, "repo_path": null, "install_path": world.text("kept/plugins/installed/my-plug"),
        "skills": skills, "files": files});
    let one = world.ok("/api/plugins/install", json!({ "source": source })).await;
    assert_eq!(without_time(one.clone()), wanted);
    assert_eq!(world.get("/api/plugins/installed").await.1, json!({ "plugins": [one] }));
    assert_eq!(world.get("/api/plugins/installed/my-plug").await.1, one);
    let available = json!({"name": "my-plug", "version": "1.0", "description": "dd",
        "path": world.text("kept/plugins/installed/my-plug"), "skills": skills, "files": files});
    assert_eq!(world.ok("/api/plugins", json!({})).await, json!({ "plugins": [available] }));
    let off = world.server.client.patch("/api/plugins/installed/my-plug", &json!({"enabled": false})).await;
    assert_eq!(off, (StatusCode::OK, json!({"name": "my-plug", "enabled": false})));
    assert_eq!(world.ok("/api/plugins", json!({})).await, json!({"plugins": []}));
    world.write("Bad Name/note.md", "x");
    let invalid = "Invalid plugin. Ensure it has a valid kebab-case name.";
    assert_eq!(
        world.post("/api/plugins/install", json!({"source": world.text("Bad Name")})).await,
        detail(422, invalid)
    );
    let refreshed = world.ok("/api/plugins/installed/my-plug/refresh", Value::Null).await;
    assert_eq!(
        (&refreshed["message"], &refreshed["plugin"]["files"]),
        (&json!("Plugin 'my-plug' updated"), &files)
    );
    let gone = world.server.client.delete("/api/plugins/installed/my-plug").await;
    assert_eq!(gone, (StatusCode::OK, json!({"message": "Plugin 'my-plug' uninstalled"})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_is_looked_at_without_being_installed() {
    let world = World::start();
    let source = world.plugin();
    let wanted = json!({"path": source, "resolved_ref": null, "source": source, "repo_path": null,
        "manifest": {"name": "my-plug", "version": "1.0", "description": "dd"}, "skills": [], "commands": ["hi"]});
    assert_eq!(world.ok("/api/plugins/fetch", json!({ "source": source })).await, wanted);
    assert_eq!(world.get("/api/plugins/installed").await.1, json!({"plugins": []}));
    let coded = |status: u16, code: &str, message: &str| {
        (StatusCode::from_u16(status).unwrap(), json!({"detail": {"code": code, "message": message}}))
    };
    let fetch = async |body: Value| world.post("/api/plugins/fetch", body).await;
    let missing = fetch(json!({"source": "https://x.invalid/${T}/a.git", "timeout": 5})).await;
    assert_eq!(missing, coded(422, "missing_secret", "Missing secret: T"));
    let unavailable = fetch(json!({"source": "http://127.0.0.1:9/a.git", "timeout": 5})).await;
    assert_eq!(unavailable, coded(502, "source_unavailable", "The source cannot be reached."));
    assert_eq!(fetch(json!({"source": "zzz"})).await, coded(422, "invalid_source", "Invalid plugin source."));
    let no_manifest = fetch(json!({"source": world.project()})).await;
    assert_eq!(no_manifest, coded(422, "invalid_plugin", "Invalid plugin: plugin.json not found."));
    assert_eq!(
        fetch(json!({"source": source, "repo_path": "no"})).await,
        coded(422, "repo_path_not_found", "repo_path not found: no")
    );
    let (status, refused) = fetch(json!({"source": source, "timeout": 601})).await;
    assert_eq!((status.as_u16(), &refused["detail"][0]["loc"]), (422, &json!(["body", "timeout"])));

    world.git("plug", &["init", "--quiet"]);
    world.git("plug", &["add", "."]);
    world.git("plug", &["commit", "--quiet", "-m", "x"]);
    let named = format!("file://{}", source.replace("plug", "${NAME}"));
    let secrets = json!({"NAME": {"kind": "StaticSecret", "value": "plug"}});
    let of_git = world.ok("/api/plugins/fetch", json!({"source": named, "secrets": secrets})).await;
    assert_eq!((&of_git["source"], of_git["resolved_ref"].as_str().unwrap().len()), (&json!(named), 40));
    let no_ref = fetch(json!({"source": format!("file://{source}"), "ref": "nowhere"})).await;
    assert_eq!(no_ref, coded(422, "ref_not_found", "The ref was not found."));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_is_installed_from_by_its_commit_and_its_folder() {
    let world = World::start();
    world.write("repo/skills/sk/SKILL.md", "one");
    world.git("repo", &["init", "--quiet"]);
    world.git("repo", &["add", "."]);
    world.git("repo", &["commit", "--quiet", "-m", "one"]);
    world.git("repo", &["tag", "v1"]);
    world.write("repo/skills/sk/SKILL.md", "two");
    world.git("repo", &["commit", "--quiet", "-a", "-m", "two"]);
    let source = format!("file://{}", world.text("repo"));
    let order = json!({"source": source, "ref": "v1", "repo_path": "skills/sk"});
    let one = world.ok("/api/skills/install", order).await;
    assert_eq!((&one["name"], &one["repo_path"]), (&json!("sk"), &json!("skills/sk")));
    assert_eq!(world.skills(json!({"load_user": true})).await["skills"][0]["content"], "one");
    let refreshed = world.ok("/api/skills/installed/sk/refresh", Value::Null).await;
    assert_ne!(refreshed["skill"]["resolved_ref"], one["resolved_ref"], "the newest is fetched");
    assert_eq!(world.skills(json!({"load_user": true})).await["skills"][0]["content"], "two");
    let outside = json!({"source": source, "repo_path": "../..", "force": true});
    assert_eq!(world.post("/api/skills/install", outside).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_of_the_user_interface_is_disabled_until_somebody_enables_it() {
    let world = World::start();
    let source = world.app();
    let install =
        async |source: &str| world.post("/api/canvas-extensions/install", json!({ "source": source })).await;
    let (status, one) = install(&source).await;
    let mut manifest: Value = serde_json::from_str(MANIFEST).unwrap();
    manifest["description"] = "".into();
    let wanted = json!({"name": "my-app", "version": "2", "description": "", "enabled": false, "source": source,
        "requested_ref": null, "resolved_ref": null, "repo_path": null,
        "install_path": world.text("kept/canvas-extensions/installed/my-app"), "manifest": manifest});
    assert_eq!((status, without_time(one.clone())), (StatusCode::OK, wanted));
    assert_eq!(world.get("/api/canvas-extensions/installed").await.1, json!({ "canvas_extensions": [one] }));
    assert_eq!(
        install(&source).await,
        detail(409, "Canvas extension already installed. Use force=true to overwrite.")
    );
    let nowhere = "Could not read canvas extension source: Local extension path does not exist: /nope";
    assert_eq!(install("/nope").await, detail(400, nowhere));
    let no_manifest = "No canvas-extension.json found at the resolved location. Source plus Path must point at the extension's own \
                       directory, not the repository root.";
    assert_eq!(install(&world.project()).await, detail(422, no_manifest));
    let invalid = detail(422, "Invalid canvas extension. Ensure the manifest is well-formed.");
    world.write(
        "app/canvas-extension.json",
        &MANIFEST.replace("my-app", "other").replace("dist/index.js", "dist/none.js"),
    );
    assert_eq!(install(&source).await, invalid, "its program is not there");
    world.write("secret.js", "s");
    symlink(world.path("secret.js"), world.path("app/dist/none.js")).unwrap();
    assert_eq!(install(&source).await, invalid, "its program is elsewhere");
    let on =
        world.server.client.patch("/api/canvas-extensions/installed/my-app", &json!({"enabled": true})).await;
    assert_eq!(on, (StatusCode::OK, json!({"name": "my-app", "enabled": true})));
    let gone = world.server.client.delete("/api/canvas-extensions/installed/my-app").await;
    assert_eq!(gone, (StatusCode::OK, json!({"message": "Canvas extension 'my-app' uninstalled"})));
    let missing = detail(404, "Canvas extension 'zz' is not installed");
    assert_eq!(world.get("/api/canvas-extensions/installed/zz").await, missing);
    assert_eq!(world.server.client.delete("/api/canvas-extensions/installed/zz").await, missing);
}

/// A9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_an_extension_cannot_act_as_pages_of_the_server() {
    let world = World::start();
    world.ok("/api/canvas-extensions/install", json!({"source": world.app()})).await;
    let fetch = async |part: &str, tag: Option<&str>| {
        let path = format!("/api/canvas-extensions/installed/my-app/{part}");
        let request = world.server.client.request(Method::GET, &path);
        tag.map_or(request.try_clone().unwrap(), |tag| request.header("if-none-match", tag))
            .send()
            .await
            .unwrap()
    };
    let header =
        |response: &reqwest::Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();
    for (part, kind, content) in [
        ("bundle", "text/javascript; charset=utf-8", "export default 1;"),
        ("icon", "image/svg+xml", "<svg onload='alert(1)'/>"),
    ] {
        let response = fetch(part, None).await;
        assert_eq!((response.status(), header(&response, "content-type").as_str()), (StatusCode::OK, kind));
        assert_eq!(header(&response, "cache-control"), "no-cache");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        let policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
        assert_eq!(header(&response, "content-security-policy"), policy);
        let tag = header(&response, "etag");
        assert_eq!(response.text().await.unwrap(), content);
        assert_eq!(fetch(part, Some(&tag)).await.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(fetch(part, Some("\"other\"")).await.status(), StatusCode::OK);
        let missing = detail(404, &format!("Canvas extension 'zz' {part} not found"));
        assert_eq!(world.get(&format!("/api/canvas-extensions/installed/zz/{part}")).await, missing);
    }
    fs::remove_dir_all(world.path("kept")).unwrap();
    assert_eq!(fetch("bundle", None).await.status(), StatusCode::OK, "it is in the store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loading_a_plugin_runs_nothing() {
    let world = World::start();
    let ran = world.text("ran");
    let touch = format!("touch {ran}");
    world.plugin();
    let hooks = json!({"hooks": {"SessionStart": [{"hooks": [{"command": touch}]}]}}).to_string();
    world.write("plug/hooks/hooks.json", &hooks);
    world.write(
        "plug/.mcp.json",
        &json!({"mcpServers": {"a": {"command": "sh", "args": ["-c", touch]}}}).to_string(),
    );
    world.write("plug/skills/sk/SKILL.md", &format!("!`{touch}`"));
    world.git("plug", &["init", "--quiet"]);
    world.write("plug/.gitattributes", "* filter=evil\n");
    world.git("plug", &["config", "filter.evil.smudge", &touch]);
    world.git("plug", &["config", "core.fsmonitor", &touch]);
    world.write("plug/.git/hooks/post-checkout", &format!("#!/bin/sh\n{touch}\n"));
    world.git("plug", &["-c", "core.fsmonitor=false", "add", "."]);
    world.git("plug", &["-c", "core.fsmonitor=false", "commit", "--quiet", "-m", "x"]);
    let _ = fs::remove_file(&ran);
    let source = world.text("plug");
    for source in [source.clone(), format!("file://{source}")] {
        world.ok("/api/plugins/install", json!({"source": source, "force": true})).await;
        world.ok("/api/plugins/fetch", json!({ "source": source })).await;
    }
    world.write("proj/.openhands/hooks.json", &hooks);
    world.ok("/api/hooks", json!({"project_dir": world.text("proj")})).await;
    world.ok("/api/plugins", json!({})).await;
    assert!(!world.path("ran").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_to_be_installed_is_refused() {
    let world = World::start();
    world.write("many/SKILL.md", "x");
    for number in 0..2_001 {
        world.write(&format!("many/files/{number}"), "");
    }
    let (status, _) = world.post("/api/skills/install", json!({"source": world.text("many")})).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.get("/api/skills/installed").await.1, json!({"skills": []}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_installed_outlives_the_server() {
    let world = World::start();
    world.write("sk/SKILL.md", "body");
    world.ok("/api/skills/install", json!({"source": world.text("sk")})).await;
    let before = world.get("/api/skills/installed").await;
    let world = World { server: world.server.killed_and_restarted() };
    assert_eq!(world.get("/api/skills/installed").await, before);
    assert_eq!(world.skills(json!({"load_user": true})).await["skills"][0]["content"], "body");
}
