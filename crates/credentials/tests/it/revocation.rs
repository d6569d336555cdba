//! What was given out is taken back, in the folder that `init` made and on a real server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cluster::HOUR;
use crate::cluster::client::{connect, is_let_in};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use manyhands_credentials::folder::State;
use manyhands_credentials::{
    Error, Keys, Minter, Part, Revocation, Revoked, Role, UPDATE_SUBJECT, Who, accepted, folder, load, revoke,
};
use nkeys::KeyPair;
use serde_json::Value;
use tempfile::TempDir;
use testing::nats::Nats;
use types::placement::Credentials;
use types::{Epoch, SandboxId};

const BY_GATEWAY: &str = "mh.cmd.a.bash.1";
const BY_SUPERVISOR: &str = "mh.cmd.a.creds.1";
const BY_WORKER: &str = "mh.rec.a";

/// A server that was started with what `init` made.
struct World {
    server: Nats,
    dir: TempDir,
    accounts: TempDir,
}

impl World {
    async fn start() -> Self {
        Self::start_as(|_| ()).await
    }

    /// With a folder that somebody has changed.
    async fn start_as(change: impl FnOnce(&Path)) -> Self {
        let (dir, accounts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        folder::make(dir.path(), accounts.path()).unwrap();
        change(dir.path());
        let server = Nats::with(&auth(dir.path())).await;
        Self { server, dir, accounts }
    }

    fn credentials(&self, role: Role) -> Credentials {
        load(&folder::credentials_path(self.dir.path(), role)).unwrap()
    }

    fn worker(&self, epoch: u64) -> Credentials {
        let minter = Minter::load(&folder::minter_path(self.dir.path())).unwrap();
        minter.mint_worker(&SandboxId::parse("a").unwrap(), Epoch(epoch), HOUR).unwrap()
    }

    fn take_back(&self, who: &[Who]) -> Revocation {
        revoke(self.dir.path(), who).unwrap()
    }

    async fn tell(&self, revocation: Revocation) {
        let keys = Keys::load(&self.dir.path().join("operator")).unwrap();
        let system = connect(&self.server.url(), &keys.system_credentials().unwrap()).await;
        let answer = system.nats.request(UPDATE_SUBJECT, revocation.token.clone().into()).await.unwrap();
        accepted(&answer.payload).unwrap();
        revocation.sent().unwrap();
    }

    async fn lets_in(&self, credentials: &Credentials, call: &'static str) -> bool {
        is_let_in(&self.server.url(), credentials, call).await
    }

    fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let folders = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap());
        let paths = files.map(|entry| entry.unwrap().path());
        paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }
}

fn auth(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("nats/auth.conf")).unwrap()
}

/// As an earlier release has left it: workers may answer nobody.
fn forget_answers(dir: &Path) {
    let (config, path) = (auth(dir), dir.join("nats/auth.conf"));
    let rights = |token: &str| {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice::<Value>(&claims).ok().filter(|claims| claims.pointer(TEMPLATE).is_some())
    };
    let mut tokens = config.split_whitespace().filter_map(|word| Some((word, rights(word)?)));
    let (token, mut claims) = tokens.next().unwrap();
    let allowed = claims.pointer_mut(TEMPLATE).unwrap().as_array_mut().unwrap();
    allowed.retain(|right| !right.as_str().unwrap().starts_with("mh.ans."));
    claims["jti"] = "of an earlier release".into();
    let keys: Value = load(&dir.join("operator/keys.json")).unwrap();
    let operator = KeyPair::from_seed(keys["operator"].as_str().unwrap()).unwrap();
    let header = token.split('.').next().unwrap();
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(operator.sign(signed.as_bytes()).unwrap());
    std::fs::write(path, config.replace(token, &format!("{signed}.{signature}"))).unwrap();
}

const TEMPLATE: &str = "/nats/signing_keys/0/template/pub/allow";

#[tokio::test]
async fn workers_get_the_rights_of_a_newer_release_under_the_keys_that_they_have() {
    const ANSWER: &str = "mh.ans.a.1.bash.token";
    let mut world = World::start_as(forget_answers).await;
    let worker = world.worker(1);
    assert!(world.lets_in(&worker, BY_WORKER).await && !world.lets_in(&worker, ANSWER).await);
    let pieces = folder::make(world.dir.path(), world.accounts.path()).unwrap();
    let renewed: Vec<_> = pieces.iter().filter(|piece| piece.state == State::Renewed).collect();
    assert!(matches!(renewed[..], [piece] if piece.path.ends_with("nats/auth.conf")), "{pieces:?}");
    world.tell(world.take_back(&[])).await;
    for again in [false, true] {
        if again {
            world.server.restart().await;
        }
        assert!(world.lets_in(&worker, ANSWER).await, "after a restart: {again}");
    }
}

/// Nobody could tell it.
#[tokio::test]
async fn a_server_that_is_restarted_knows_the_rights_of_a_newer_release() {
    const ANSWER: &str = "mh.ans.a.1.bash.token";
    let mut world = World::start_as(forget_answers).await;
    let worker = world.worker(1);
    assert!(!world.lets_in(&worker, ANSWER).await);
    let older = auth(world.dir.path());
    folder::make(world.dir.path(), world.accounts.path()).unwrap();
    let file = world.server.folder().join("nats.conf");
    let config = std::fs::read_to_string(&file).unwrap().replace(&older, &auth(world.dir.path()));
    std::fs::write(file, config).unwrap();
    world.server.restart().await;
    assert!(world.lets_in(&worker, ANSWER).await);
}

const GATEWAY: [Who; 1] = [Who::Part(Part::Gateway)];

#[tokio::test]
async fn a_gateways_old_key_is_dropped_and_stays_out_and_the_new_one_works() {
    let mut world = World::start().await;
    let (old, supervisor) = (world.credentials(Role::Gateway), world.credentials(Role::Supervisor));
    let (gateway, other) =
        (connect(&world.server.url(), &old).await, connect(&world.server.url(), &supervisor).await);
    let revocation = world.take_back(&GATEWAY);
    assert_eq!(revocation.renewed, [Part::Gateway]);
    world.tell(revocation).await;

    testing::until(async || gateway.disconnects() > 0).await;
    let new = world.credentials(Role::Gateway);
    for again in [false, true] {
        if again {
            world.server.restart().await;
        }
        assert!(!world.lets_in(&old, BY_GATEWAY).await, "after a restart: {again}");
        assert!(world.lets_in(&new, BY_GATEWAY).await, "after a restart: {again}");
        assert!(world.lets_in(&supervisor, BY_SUPERVISOR).await);
        assert!(again || other.disconnects() == 0, "the supervisor was disturbed");
    }
}

#[tokio::test]
async fn with_the_workers_key_go_all_workers_it_has_signed_and_no_others() {
    let world = World::start().await;
    let (old, gateway) = (world.worker(1), world.credentials(Role::Gateway));
    let (worker, control) =
        (connect(&world.server.url(), &old).await, connect(&world.server.url(), &gateway).await);
    let stolen = Minter::load(&folder::minter_path(world.dir.path())).unwrap();
    world.tell(world.take_back(&[Who::Part(Part::Workers)])).await;

    testing::until(async || worker.disconnects() > 0).await;
    let forged = stolen.mint_worker(&SandboxId::parse("a").unwrap(), Epoch(2), HOUR).unwrap();
    for dead in [old, forged] {
        assert!(!world.lets_in(&dead, BY_WORKER).await);
    }
    assert!(world.lets_in(&world.worker(3), BY_WORKER).await);
    assert_eq!(control.disconnects(), 0);
}

#[tokio::test]
async fn leaked_credentials_are_taken_back_by_their_file_or_their_token() {
    let world = World::start().await;
    let (by_file, by_token, good) = (world.worker(1), world.worker(2), world.worker(3));
    let [file, token] = ["leaked.json", "leaked.jwt"].map(|name| world.accounts.path().join(name));
    std::fs::write(&file, serde_json::to_vec(&by_file).unwrap()).unwrap();
    std::fs::write(&token, format!("{}\n", by_token.jwt)).unwrap();
    let who = [file, token].map(Who::Credentials);
    world.tell(world.take_back(&who)).await;
    assert!(!world.lets_in(&by_file, BY_WORKER).await);
    assert!(!world.lets_in(&by_token, BY_WORKER).await);
    assert!(world.lets_in(&good, BY_WORKER).await);

    let before = world.contents();
    world.tell(world.take_back(&who)).await;
    assert_eq!(world.contents(), before, "a repeat changes nothing");
}

#[tokio::test]
async fn a_leaked_file_of_a_part_gets_it_a_new_key() {
    let world = World::start().await;
    let old = world.credentials(Role::Supervisor);
    let file = folder::credentials_path(world.dir.path(), Role::Supervisor);
    let revocation = world.take_back(&[Who::Credentials(file)]);
    assert_eq!(revocation.renewed, [Part::Supervisor]);
    world.tell(revocation).await;
    assert!(!world.lets_in(&old, BY_SUPERVISOR).await);
    assert!(world.lets_in(&world.credentials(Role::Supervisor), BY_SUPERVISOR).await);
}

/// No server has heard of it; then the program is killed between any two of its writes.
#[tokio::test]
async fn what_was_cut_off_is_completed_by_a_repeat_and_makes_one_new_key() {
    let world = World::start().await;
    let (before, old) = (world.contents(), world.credentials(Role::Gateway));
    drop(world.take_back(&GATEWAY));
    let after = world.contents();
    assert_ne!(world.credentials(Role::Gateway).jwt, old.jwt);
    assert!(world.lets_in(&old, BY_GATEWAY).await, "nobody has told the server");

    let written =
        ["operator/revoked.json", "operator/keys.json", "gateway/credentials.json", "nats/auth.conf"];
    drop(world.take_back(&GATEWAY));
    assert_eq!(world.contents(), after, "a repeat makes no second key");
    for count in 1..written.len() {
        for (index, name) in written.iter().enumerate() {
            let path = world.dir.path().join(name);
            match if index < count { after.get(&path) } else { before.get(&path) } {
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
        }
        let revocation = world.take_back(&GATEWAY);
        assert_eq!(revocation.renewed, [Part::Gateway]);
        if count > 1 {
            assert_eq!(world.contents(), after, "cut off after {count} files");
        }
    }
    world.tell(world.take_back(&GATEWAY)).await;
    assert!(!world.lets_in(&old, BY_GATEWAY).await);
    let new = world.credentials(Role::Gateway);
    assert!(world.lets_in(&new, BY_GATEWAY).await);
    world.tell(world.take_back(&GATEWAY)).await;
    assert!(!world.lets_in(&new, BY_GATEWAY).await, "what is complete can be done anew");
    assert!(world.lets_in(&world.credentials(Role::Gateway), BY_GATEWAY).await);
}

#[tokio::test]
async fn what_init_makes_again_is_what_holds_now() {
    let world = World::start().await;
    let (old, worker) = (world.credentials(Role::Gateway), world.worker(1));
    world.tell(world.take_back(&[Who::Part(Part::Gateway), Who::Part(Part::Workers)])).await;
    let before = world.contents();
    for lost in ["nats/auth.conf", "gateway/credentials.json", "supervisor/minter.json"] {
        std::fs::remove_file(world.dir.path().join(lost)).unwrap();
    }
    folder::make(world.dir.path(), world.accounts.path()).unwrap();
    assert_eq!(world.contents(), before);

    let accounts = tempfile::tempdir().unwrap();
    let config = auth(world.dir.path())
        .replace(world.accounts.path().to_str().unwrap(), accounts.path().to_str().unwrap());
    let elsewhere = Nats::with(&config).await;
    assert!(!is_let_in(&elsewhere.url(), &old, BY_GATEWAY).await, "a server that lost its accounts");
    assert!(!is_let_in(&elsewhere.url(), &worker, BY_WORKER).await);
    assert!(is_let_in(&elsewhere.url(), &world.credentials(Role::Gateway), BY_GATEWAY).await);
    assert!(is_let_in(&elsewhere.url(), &world.worker(2), BY_WORKER).await);
}

#[test]
fn what_is_not_of_this_cluster_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |who: Who| revoke(dir.path(), &[Who::Part(Part::Workers), who]).unwrap_err();
    assert!(matches!(refused(Who::Part(Part::Gateway)), Error::NoOperator(_)));
    folder::make(dir.path(), Path::new("/data/accounts")).unwrap();
    let foreign = Keys::make().control_credentials(Role::Gateway).unwrap();
    let account = Keys::make().account_token(&Revoked::default()).unwrap();
    let file = dir.path().join("file");
    for (text, is_expected) in [
        (foreign.jwt, (|error| matches!(error, Error::Foreign)) as fn(Error) -> bool),
        (account, |error| matches!(error, Error::NotAUser)),
        ("nonsense".to_owned(), |error| matches!(error, Error::NotAUser)),
    ] {
        std::fs::write(&file, text).unwrap();
        assert!(is_expected(refused(Who::Credentials(file.clone()))));
    }
    assert!(matches!(refused(Who::Credentials(dir.path().join("none"))), Error::File { .. }));
    assert!(!dir.path().join("operator/revoked.json").exists());
}
