//! The forms as clients meet them.

mod filling;
mod hiding;

use serde_json::Value;

use crate::{Form, Step, Trouble};

/// The kind of each trouble, and where: `llm.temperature`.
fn told(outcome: Result<Value, Vec<Trouble>>) -> Vec<(&'static str, String)> {
    let troubles = outcome.expect_err("it was taken");
    troubles.into_iter().map(|trouble| (trouble.kind, place(&trouble.at))).collect()
}

fn place(at: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Field(name) => name.clone(),
        Step::Index(index) => index.to_string(),
    };
    at.iter().map(step).collect::<Vec<_>>().join(".")
}

fn form(schema: &Value) -> Form {
    Form::read(&schema.to_string()).unwrap()
}
