//! Skills and plugins that are fetched: from addresses that may be called, for a limited time, and without telling secrets.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ports::rpc::Code;
use serde_json::json;
use tokio::net::TcpListener;
use types::calls::{
    ExtensionAnswer, ExtensionCall, FetchCall, Fetched, Marketplace, NotFetched, SkillSources, WhyNotFetched,
};
use types::extensions::{ExtensionKind, Skill};

use crate::services::World;

fn fetch(source: &str) -> ExtensionCall {
    ExtensionCall::Fetch(FetchCall {
        kind: ExtensionKind::Skill,
        source: source.to_owned(),
        reference: None,
        repo_path: None,
        name: None,
    })
}

async fn ask(world: &World, call: ExtensionCall) -> ExtensionAnswer {
    world.call(&call, Bytes::new()).await.unwrap().0
}

async fn not_fetched(world: &World, source: &str) -> NotFetched {
    match ask(world, fetch(source)).await {
        ExtensionAnswer::NotFetched(not) => not,
        other => panic!("it was fetched: {other:?}"),
    }
}

/// Takes connections and says nothing.
async fn silence() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            taken.push(connection);
        }
    });
    format!("http://{address}/a.git")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_metadata_is_not_fetched_from() {
    let world = World::start().await;
    for source in ["http://169.254.169.254/a.git", "https://[fe80::1]/a.git", "git@169.254.169.254:a.git"] {
        let not = not_fetched(&world, source).await;
        assert_eq!(not.why, WhyNotFetched::SourceNotAllowed, "{source}: {}", not.says);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_a_source_are_in_no_answer() {
    let world = World::start().await;
    for source in ["http://user:the-secret@127.0.0.1:9/a.git", "ftp://user:the-secret@h"] {
        let not = not_fetched(&world, source).await;
        assert!(!not.says.contains("the-secret"), "{}", not.says);
    }
}

/// C10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_repository_that_does_not_answer() {
    let world = World::with_catalogue(&silence().await).await;
    let call = || ExtensionCall::Skills(SkillSources { public: true, ..SkillSources::default() });
    let began = Instant::now();
    let (one, other) = tokio::join!(ask(&world, call()), ask(&world, call()));
    assert_eq!((&one, &other), (&ExtensionAnswer::Skills(Default::default()), &one));
    assert!(began.elapsed() < Duration::from_secs(20), "both waited for one attempt: {:?}", began.elapsed());
    let again = Instant::now();
    ask(&world, call()).await;
    assert!(again.elapsed() < Duration::from_secs(5), "it was tried again: {:?}", again.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_what_is_kept_has_nobody_called() {
    let catalogue = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    catalogue.set_nonblocking(true).unwrap();
    let world = World::with_catalogue(&format!("http://{}/a.git", catalogue.local_addr().unwrap())).await;
    let sources = SkillSources { public: true, only_kept: true, ..SkillSources::default() };
    let answer = ask(&world, ExtensionCall::Skills(sources)).await;
    assert_eq!(answer, ExtensionAnswer::Skills(Default::default()));
    assert_eq!(catalogue.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "it was called");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_fetched_is_read_in_pieces_until_it_is_dropped() {
    let world = World::start().await;
    let large: String = (0..700_000).map(|at| char::from(b'a' + u8::try_from(at % 23).unwrap())).collect();
    world.sh("mkdir -p sk && printf 'body' > sk/SKILL.md");
    std::fs::write(world.path("sk/large.txt"), &large).unwrap();
    let ExtensionAnswer::Fetched(fetched) = ask(&world, fetch(&world.text("sk"))).await else {
        panic!("not fetched")
    };
    let Fetched { ticket, name, .. } = *fetched;
    assert_eq!(name, "sk");
    let read = |file: &str, offset: usize| ExtensionCall::Read {
        ticket: ticket.clone(),
        file: Some(file.to_owned()),
        offset: offset as u64,
    };
    let mut all = Vec::new();
    loop {
        let (answer, piece) =
            world.call::<_, ExtensionAnswer>(&read("large.txt", all.len()), Bytes::new()).await.unwrap();
        assert_eq!(answer, ExtensionAnswer::Piece { of: large.len() as u64 });
        all.extend_from_slice(&piece);
        if piece.is_empty() || all.len() == large.len() {
            break;
        }
    }
    assert!(all == large.as_bytes());
    for outside in ["../..pack", "/etc/passwd", "none", "."] {
        let asked = world.call::<_, ExtensionAnswer>(&read(outside, 0), Bytes::new()).await;
        assert_eq!(asked.unwrap_err().code, Code::NotFound, "{outside}");
    }
    assert_eq!(ask(&world, ExtensionCall::Drop { ticket: ticket.clone() }).await, ExtensionAnswer::Done);
    let gone = world.call::<_, ExtensionAnswer>(&read("large.txt", 0), Bytes::new()).await;
    assert_eq!(gone.unwrap_err().code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_have_made_leads_to_no_folder_of_the_machine_but_its_own() {
    let world = World::start().await;
    let write = |path: &str, text: &str| {
        let path = world.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let link = |path: &str, target: &str| {
        std::os::unix::fs::symlink(world.path(target), world.path(path)).unwrap();
    };
    let commit = |folder: &str| {
        world.sh(&format!(
            "cd {} && git init --quiet && git add . && \
             git -c user.name=a -c user.email=a@b.c commit --quiet -m x",
            world.text(folder)
        ));
    };
    let plugin = r#"{"name": "NAME", "version": "1", "description": "d"}"#;
    write("private/.plugin/plugin.json", &plugin.replace("NAME", "private"));
    write("private/commands/go.md", "private");
    write("private/SKILL.md", "private");
    commit("private");
    write("org/skills/own.md", "own");
    link("org/skills/linked.md", "private/SKILL.md");
    link("org/skills/linked", "private");
    link("org/microagents", "private");
    commit("org");
    let (folder, address) = (world.text("private"), format!("file://{}", world.text("private")));
    let catalogue = json!({"name": "n", "owner": {"name": "o"}, "plugins": [
        {"name": "own", "source": "./plugins/own"},
        {"name": "linked", "source": "./plugins/linked"},
        {"name": "above", "source": "./plugins/../../private"},
        {"name": "whole", "source": folder},
        {"name": "folder", "source": {"source": "url", "url": folder}},
        {"name": "address", "source": {"source": "url", "url": address}},
        {"name": "address-text", "source": address},
        {"name": "blank", "source": {"source": "url", "url": format!(" {address}")}},
        {"name": "blank-text", "source": format!(" {address}")},
    ], "skills": [{"name": "a", "source": "./skills/a"}, {"name": "b", "source": "./skills/b"}]});
    write("market/.plugin/marketplace.json", &catalogue.to_string());
    write("market/plugins/own/.plugin/plugin.json", &plugin.replace("NAME", "own"));
    write("market/plugins/own/commands/go.md", "own");
    write("market/skills/a/SKILL.md", "own");
    link("market/plugins/linked", "private");
    std::fs::create_dir(world.path("market/skills/b")).unwrap();
    link("market/skills/b/SKILL.md", "private/SKILL.md");
    let marketplace = Marketplace {
        name: "m".to_owned(),
        source: world.text("market"),
        reference: None,
        repo_path: None,
        only: None,
    };
    let sources = SkillSources {
        marketplaces: vec![marketplace],
        // Whoever asks may name what he likes.
        organizations: vec![format!("file://{}", world.text("org"))],
        ..SkillSources::default()
    };
    let ExtensionAnswer::Skills(found) = ask(&world, ExtensionCall::Skills(sources)).await else {
        panic!("no skills")
    };
    let names = |skills: &[Skill]| skills.iter().map(|skill| skill.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found.marketplaces), ["a", "own:go"]);
    assert_eq!(names(&found.organizations), ["own"]);
    let all = found.marketplaces.iter().chain(&found.organizations);
    assert!(all.into_iter().all(|skill| skill.content.contains("own")));
}
