//! A model that says again what a recording has: one queue of answers for requests that offer tools, one for
//! questions on the side (titles, summaries).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{self, Answer, half, reply};

#[derive(Clone, Debug, Deserialize)]
pub struct Recorded {
    pub status: u16,
    pub body: Value,
    /// The connection is cut in the middle of the body.
    pub cut: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Answers {
    pub tools: VecDeque<Recorded>,
    pub side: VecDeque<Recorded>,
}

impl Answers {
    /// The answers with one folder's path in place of another's.
    #[must_use]
    pub fn in_folder(self, recorded: &str, here: &str) -> Self {
        let moved = |answers: VecDeque<Recorded>| {
            let text = |body: Value| serde_json::from_str(&body.to_string().replace(recorded, here)).unwrap();
            answers.into_iter().map(|a| Recorded { body: text(a.body), ..a }).collect()
        };
        Self { tools: moved(self.tools), side: moved(self.side) }
    }
}

/// Starts it on a free port of loopback; answers its base URL.
pub async fn start(answers: Answers) -> std::io::Result<String> {
    let answers = Arc::new(Mutex::new(answers));
    let address: SocketAddr =
        http::serve(http::LOOPBACK, move |_, _, body| std::future::ready(next(&answers, &body))).await?;
    Ok(format!("http://{address}/v1"))
}

fn next(answers: &Mutex<Answers>, body: &Value) -> Answer {
    let offers_tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    let mut answers = answers.lock().unwrap();
    let queue = if offers_tools { &mut answers.tools } else { &mut answers.side };
    match queue.pop_front() {
        Some(answer) if answer.cut => {
            let builder = Response::builder().header("content-type", "application/json");
            builder.body(half(&answer.body.to_string())).unwrap()
        }
        Some(answer) => reply(StatusCode::from_u16(answer.status).unwrap(), &answer.body),
        None => reply(
            StatusCode::BAD_REQUEST,
            &json!({ "error": { "message": "the recording has no more answers" } }),
        ),
    }
}
