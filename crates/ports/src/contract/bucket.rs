//! What every bucket of typed values must do.

use std::collections::BTreeSet;

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use types::buckets;

use super::{in_time, next, unique};
use crate::{Bucket, Expect, Ports, Update, Versioned};

const BUCKET: &str = buckets::PLACES;

pub async fn of_many_who_change_a_value_none_loses_its_change(ports: Ports) {
    const CHANGERS: u32 = 24;
    const EACH: u32 = 4;
    let (key, bucket) = (unique(), numbers(&ports));
    let changers = (0..CHANGERS).map(async |changer| {
        for n in 0..EACH {
            let mine = changer * EACH + n;
            let changed = bucket.modify(&key, |numbers| numbers.extend([mine])).await.expect("changed");
            assert!(changed.contains(&mine), "what was changed is answered");
        }
    });
    tokio::time::timeout(super::PATIENCE * 6, join_all(changers)).await.expect("all get their turn");
    let stored = bucket.get(&key).await.expect("it can be read").expect("it is there");
    assert_eq!(stored.value, (0..CHANGERS * EACH).collect::<BTreeSet<_>>());
}

pub async fn of_those_who_make_a_value_one_is_told_so(ports: Ports) {
    let (key, bucket) = (unique(), numbers(&ports));
    let made = join_all((0..16).map(async |n| bucket.make(&key, &BTreeSet::from([n])).await)).await;
    let made: Vec<Option<u64>> = made.into_iter().map(|made| made.expect("an answer")).collect();
    let first = made.iter().position(Option::is_some).expect("one has made it");
    assert_eq!(made.iter().flatten().count(), 1);
    let stored = bucket.get(&key).await.expect("it can be read").expect("it is there");
    assert_eq!(stored.value.into_iter().map(|n| n as usize).collect::<Vec<_>>(), [first]);
    assert_eq!(Some(stored.revision), made[first]);
}

pub async fn a_change_decides_from_what_is_stored_and_may_remove_it(ports: Ports) {
    let (key, bucket) = (unique(), numbers(&ports));
    let asked = bucket.change(&key, |stored| {
        assert_eq!(*stored, None);
        false
    });
    assert_eq!(asked.await, Ok(None), "nothing to write is nothing made");
    let made = bucket.change(&key, |stored| stored.replace(BTreeSet::from([1])).is_none()).await;
    let made = made.expect("made").expect("it is there");
    assert_eq!(bucket.change(&key, |_| false).await, Ok(Some(made.clone())));
    assert_eq!(bucket.change(&key, |stored| stored.take().is_some()).await, Ok(None));
    assert_eq!(bucket.get(&key).await, Ok(None));
}

pub async fn a_belief_that_is_wrong_costs_a_round_and_loses_nothing(ports: Ports) {
    let (key, bucket) = (unique(), numbers(&ports));
    let add = |more: u32| {
        move |stored: &mut Option<BTreeSet<u32>>| {
            stored.get_or_insert_default().insert(more);
            true
        }
    };
    let first = bucket.change_from(None, &key, add(1)).await.expect("made").expect("it is there");
    let second = bucket.change_from(None, &key, add(2)).await.expect("changed").expect("it is there");
    assert_eq!(second.value, BTreeSet::from([1, 2]));
    let third = bucket.change_from(Some(first), &key, add(3)).await.expect("changed").expect("it is there");
    assert_eq!(third.value, BTreeSet::from([1, 2, 3]));
    assert!(bucket.remove(&key, Expect::Revision(third.revision)).await.expect("an answer"));
    let anew = bucket.change_from(Some(third), &key, add(4)).await.expect("made anew").expect("it is there");
    assert_eq!(anew.value, BTreeSet::from([4]));
    assert!(!bucket.remove(&key, Expect::Revision(second.revision)).await.expect("an answer"));
}

pub async fn what_cannot_be_read_is_told_of_and_holds_up_nothing(ports: Ports) {
    let (prefix, bucket) = (unique(), numbers(&ports));
    let key = |name: &str| format!("{prefix}.{name}");
    let mut updates = bucket.watch().await.expect("a watch");
    let revision = ports.kv.put(BUCKET, &key("damaged"), "{".into(), Expect::Absent).await.expect("stored");
    let value = BTreeSet::from([1]);
    let stored = bucket.make(&key("good"), &value).await.expect("an answer").expect("it was not there");
    let stored = Versioned { value, revision: stored };
    assert!(bucket.get(&key("damaged")).await.is_err());

    let ours = |update: &Update<_>| match update {
        Update::Put { key, .. } | Update::Deleted { key } | Update::Damaged { key, .. } => {
            key.starts_with(&prefix)
        }
        Update::Lagged => false,
    };
    let found: Vec<_> = in_time(bucket.scan().try_collect::<Vec<_>>()).await.expect("a scan");
    let listed = in_time(bucket.list()).await.expect("a list");
    let mut heard = Vec::new();
    while heard.len() < 2 {
        heard.extend(Some(next(&mut updates).await).filter(ours));
    }
    for updates in [found.into_iter().filter(ours).collect(), heard] {
        assert_eq!(updates.len(), 2);
        for update in updates {
            match update {
                Update::Put { key: name, stored: found } => {
                    assert_eq!((name, found), (key("good"), stored.clone()))
                }
                Update::Damaged { key: name, revision: at, .. } => {
                    assert_eq!((name, at), (key("damaged"), revision));
                }
                Update::Deleted { key } => assert_eq!(key, "", "nothing was deleted"),
                Update::Lagged => {}
            }
        }
    }
    assert_eq!(listed.get(&key("good")), Some(&Ok(stored)));
    assert!(listed.get(&key("damaged")).is_some_and(Result::is_err));
}

fn numbers(ports: &Ports) -> Bucket<'_, BTreeSet<u32>> {
    Bucket::new(ports.kv.as_ref(), BUCKET)
}
