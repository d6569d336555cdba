//! Secrets are sealed wherever they lie, and opened for their own tenant alone.

use serde_json::{Value, json};
use types::secrets::MASK;
use vault::Vault;

use super::{Toy, open, shelves, tenant};
use crate::Refusal;
use crate::shelf::{Change, Expose, Rotated, Shelves, Unopenable, WrongKey};

const SECRET: &str = "sk-marked-0123456789";

async fn keep(shelves: &Shelves, of: &str, llm: Value) -> Result<(), Unopenable> {
    let mut given = llm;
    shelves.sealing::<Toy>(&tenant(of)).take(forms::llm(), &mut given)?;
    let keep = |toy: &mut Toy| {
        let mut given = given.clone();
        shelves.sealing::<Toy>(&tenant(of)).keep_masked(forms::llm(), &mut given, &toy.llm);
        toy.llm = given;
        Ok(Change::Write(()))
    };
    shelves.change(&tenant(of), keep).await.unwrap();
    Ok(())
}

async fn shown(shelves: &Shelves, of: &str, how: Expose) -> Result<Value, WrongKey> {
    let mut llm = shelves.read::<Toy>(&tenant(of)).await.unwrap().llm;
    shelves.sealing::<Toy>(&tenant(of)).show(forms::llm(), &mut llm, how)?;
    Ok(llm["api_key"].clone())
}

#[tokio::test]
async fn a_secret_is_never_stored_plain() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, store) = open(folder.path()).await;
    let shelves = shelves(&ports, "k", &[]);
    keep(&shelves, "a", json!({"model": "m-marked", "api_key": SECRET})).await.unwrap();
    assert_eq!(shown(&shelves, "a", Expose::Plain).await, Ok(json!(SECRET)));
    store.close().await;
    let mut files = vec![folder.path().to_path_buf()];
    let mut bytes = Vec::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("m-marked") && !holds(SECRET));
}

#[tokio::test]
async fn a_mask_keeps_what_is_stored_and_a_blank_clears_it() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = open(folder.path()).await;
    let shelves = shelves(&ports, "k", &[]);
    let with = |key: &str| json!({"model": "m", "api_key": key});
    keep(&shelves, "a", with(SECRET)).await.unwrap();
    assert_eq!(shown(&shelves, "a", Expose::Masked).await, Ok(json!(MASK)));
    keep(&shelves, "a", with(MASK)).await.unwrap();
    assert_eq!(shown(&shelves, "a", Expose::Plain).await, Ok(json!(SECRET)));
    keep(&shelves, "a", with(" ")).await.unwrap();
    assert_eq!(shown(&shelves, "a", Expose::Plain).await, Ok(Value::Null));
    keep(&shelves, "a", with(MASK)).await.unwrap();
    assert_eq!(shown(&shelves, "a", Expose::Plain).await, Ok(Value::Null), "a mask of nothing is nothing");
}

#[tokio::test]
async fn what_a_client_was_given_it_can_bring_back_and_no_other_tenant_can() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = open(folder.path()).await;
    let shelves = shelves(&ports, "k", &[]);
    for own in ["default", "a"] {
        keep(&shelves, own, json!({"api_key": SECRET})).await.unwrap();
        let token = shown(&shelves, own, Expose::Encrypted).await.unwrap();
        assert!(Vault::is_token(token.as_str().unwrap()));
        keep(&shelves, own, json!({"api_key": token})).await.unwrap();
        assert_eq!(shown(&shelves, own, Expose::Plain).await, Ok(json!(SECRET)));
        assert_eq!(keep(&shelves, "b", json!({"api_key": token})).await, Err(Unopenable), "a token of {own}");
    }
}

/// Defect B29.
#[tokio::test]
async fn a_wrong_key_is_one_error_and_no_value_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = open(folder.path()).await;
    let right = shelves(&ports, "right", &[]);
    keep(&right, "a", json!({"model": "m", "api_key": SECRET})).await.unwrap();

    let wrong = shelves(&ports, "wrong", &[]);
    assert_eq!(shown(&wrong, "a", Expose::Masked).await, Ok(json!(MASK)), "a mask needs no key");
    assert_eq!(wrong.health().unopened(), 0);
    for how in [Expose::Encrypted, Expose::Plain] {
        assert_eq!(shown(&wrong, "a", how).await, Err(WrongKey));
        assert!(matches!(Refusal::from(WrongKey), Refusal::WrongKey));
    }
    assert_eq!(wrong.health().unopened(), 2);
    // Other things can be changed all the same.
    let rename = |toy: &mut Toy| {
        toy.llm["model"] = "other".into();
        Ok(Change::Write(()))
    };
    wrong.change(&tenant("a"), rename).await.unwrap();
    assert_eq!(wrong.rotate::<Toy>().await.unwrap(), Rotated { renewed: 0, unopened: 1 });
    assert_eq!(shown(&right, "a", Expose::Plain).await, Ok(json!(SECRET)));
}

#[tokio::test]
async fn after_the_key_was_changed_everything_is_sealed_with_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = open(folder.path()).await;
    let old = shelves(&ports, "old", &[]);
    for of in ["a", "b"] {
        keep(&old, of, json!({"api_key": SECRET, "aws_session_token": "other"})).await.unwrap();
    }
    let both = shelves(&ports, "new", &["old"]);
    assert_eq!(both.rotate::<Toy>().await.unwrap(), Rotated { renewed: 4, unopened: 0 });
    assert_eq!(both.rotate::<Toy>().await.unwrap(), Rotated::default());
    let new = shelves(&ports, "new", &[]);
    assert_eq!(shown(&new, "b", Expose::Plain).await, Ok(json!(SECRET)));
}
