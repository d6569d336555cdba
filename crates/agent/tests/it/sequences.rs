//! Whatever happens to a conversation, in whatever order: no request is one that a provider refuses, no call is run that did not come
//! whole, nothing is finished by an answer that was no end, and in the end a user gets an answer.
//!
//! `MANYHANDS_SEQUENCES` says how many sequences of each dialect are played, `MANYHANDS_SEQUENCE` plays that one alone.

use super::draw::Draw;
use super::moves::{Move, moves};
use super::world::World;

const USUAL: u64 = 150;

/// What a sequence has found, and how many requests it made.
fn found(model: usize, number: u64, all: &[Move]) -> (Vec<String>, u64) {
    let mut world = World::new(model, number.is_multiple_of(3), !number.is_multiple_of(4));
    for one in all {
        world.play(one.clone());
    }
    world.still_lives();
    let mut found = world.provider.findings();
    found.append(&mut world.faults);
    (found, world.provider.requests())
}

fn drawn(model: usize, number: u64) -> Vec<Move> {
    moves(&mut Draw::new(number.wrapping_mul(31).wrapping_add(model as u64)))
}

/// The same with what is not needed left out.
fn shrunk(model: usize, number: u64, mut all: Vec<Move>) -> Vec<Move> {
    let mut size = all.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < all.len() {
            let mut fewer = all.clone();
            fewer.drain(at..(at + size).min(all.len()));
            if found(model, number, &fewer).0.is_empty() { at += size } else { all = fewer }
        }
        size /= 2;
    }
    all
}

fn all_sequences(model: usize) {
    let of = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let alone = of("MANYHANDS_SEQUENCE");
    let numbers = alone.map_or(0..of("MANYHANDS_SEQUENCES").unwrap_or(USUAL), |number| number..number + 1);
    let (mut requests, mut failed, count) = (0, Vec::new(), numbers.end - numbers.start);
    for number in numbers {
        let (findings, asked) = found(model, number, &drawn(model, number));
        requests += asked;
        if !findings.is_empty() {
            failed.push(number);
        }
    }
    println!("{count} sequences, {requests} requests, {} with findings", failed.len());
    for number in failed.iter().take(3) {
        let moves = shrunk(model, *number, drawn(model, *number));
        let findings = found(model, *number, &moves).0;
        println!("MANYHANDS_SEQUENCE={number}: {moves:#?}\n{findings:#?}");
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn whatever_happens_chat_completions_are_asked_for_rightly_and_the_conversation_lives() {
    all_sequences(0);
}

#[test]
fn whatever_happens_responses_are_asked_for_rightly_and_the_conversation_lives() {
    all_sequences(1);
}

#[test]
fn whatever_happens_messages_are_asked_for_rightly_and_the_conversation_lives() {
    all_sequences(2);
}
