//! Skills and plugins that are fetched: from addresses that may be called, for a limited time, and without telling secrets.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ports::rpc::Code;
use tokio::net::TcpListener;
use types::calls::{
    ExtensionAnswer, ExtensionCall, FetchCall, Fetched, NotFetched, SkillSources, WhyNotFetched,
};
use types::extensions::ExtensionKind;

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
