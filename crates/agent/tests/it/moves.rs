//! What may happen next, drawn.

use serde_json::json;

use super::draw::Draw;
use super::provider::{Block, End, FORBIDDEN, REFUSED_IMAGE, Said};

/// For each dialect, in its ways of writing: plain, text instead of lists, ids of nine letters, marks for a cache.
pub const MODELS: [&str; 7] = [
    "openai/gpt-4o",
    "openai/gpt-5-codex",
    "anthropic/claude-sonnet-4-5-20250929",
    "deepseek/deepseek-chat",
    "mistral/mistral-large-latest",
    "openrouter/anthropic/claude-sonnet-4.5",
    "anthropic/claude-3-5-haiku-20241022",
];

const GOOD_IMAGE: &str = "https://example.com/a.png";
/// In a call that must never be run.
pub const NEVER: &str = "never-run";

#[derive(Clone, Debug)]
pub enum Move {
    Say(&'static str, Option<&'static str>),
    Run,
    Pause,
    Interrupt,
    Respond(bool),
    Confirm(bool),
    Condense,
    Goal(bool),
    /// To one of the events that there are, or before the first.
    Navigate(usize),
    Fork,
    Crash,
    Switch(usize),
    Model(Said),
    Tool(usize, Outcome),
    LateAnswer,
}

#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    Text(&'static str),
    Long,
    Image(&'static str),
    Nothing,
    Failed,
    Interrupted,
}

pub fn moves(draw: &mut Draw) -> Vec<Move> {
    let count = 5 + draw.below(45);
    (0..count).map(|at| one(draw, at)).collect()
}

fn one(draw: &mut Draw, at: usize) -> Move {
    match draw.below(40) {
        0..3 => said(draw),
        3..9 => Move::Run,
        9 => Move::Pause,
        10 => Move::Interrupt,
        11 | 12 => Move::Respond(!draw.one_in(3)),
        13 => Move::Confirm(draw.one_in(2)),
        14 => Move::Condense,
        15 => Move::Goal(draw.one_in(2)),
        16 => Move::Navigate(draw.below(60)),
        17 => Move::Fork,
        18 => Move::Crash,
        19 => Move::Switch(draw.below(MODELS.len())),
        20 => Move::LateAnswer,
        21..31 => Move::Model(answer(draw, at)),
        _ => Move::Tool(draw.below(4), outcome(draw)),
    }
}

fn said(draw: &mut Draw) -> Move {
    let text = ["Do something.", "", " \n", "More, with hunter2.", FORBIDDEN, "é"][draw.below(6)];
    let image = match draw.below(8) {
        0 => Some(GOOD_IMAGE),
        1 => Some(REFUSED_IMAGE),
        2 => Some("data:image/png;base64,AAAA"),
        _ => None,
    };
    Move::Say(text, image)
}

fn outcome(draw: &mut Draw) -> Outcome {
    match draw.below(12) {
        0 => Outcome::Failed,
        1 => Outcome::Interrupted,
        2 => Outcome::Nothing,
        3 => Outcome::Image(GOOD_IMAGE),
        4 => Outcome::Image(REFUSED_IMAGE),
        5 => Outcome::Long,
        6 => Outcome::Text(" \n"),
        7 => Outcome::Text(FORBIDDEN),
        _ => Outcome::Text("some output"),
    }
}

fn answer(draw: &mut Draw, at: usize) -> Said {
    if draw.one_in(8) {
        let all = [
            (400, "The request is invalid."),
            (400, "prompt is too long: 250000 tokens > 200000 maximum"),
            (400, "messages.1: tool_use ids were found without tool_result blocks immediately after: x"),
            (400, "Output blocked by content filtering policy"),
            (413, "Request Entity Too Large"),
            (429, "slow down"),
            (500, "oops"),
            (401, "who are you"),
        ];
        let (status, text) = all[draw.below(all.len())];
        return Said::Refusal(status, text);
    }
    let end = match draw.below(8) {
        0 | 1 => End::Cut,
        2 => End::Withheld,
        3 => End::Paused,
        _ => End::Done,
    };
    let mut blocks: Vec<Block> = (0..draw.below(6)).map(|nth| block(draw, at * 10 + nth)).collect();
    let last = blocks.len().saturating_sub(1);
    let mut finishing = false;
    for (nth, block) in blocks.iter_mut().enumerate() {
        let Block::Call { name, arguments, .. } = block else { continue };
        let is_not_run = end == End::Withheld || (end == End::Cut && nth == last) || finishing;
        if is_not_run && *name == "terminal" {
            *arguments = json!({ "command": NEVER }).to_string();
            if end == End::Cut && draw.one_in(2) {
                arguments.truncate(8);
            }
        }
        finishing |= *name == "finish" && !is_not_run;
    }
    Said::Answer(blocks, end)
}

fn block(draw: &mut Draw, number: usize) -> Block {
    match draw.below(8) {
        0 => Block::Thinking(["hm", "the key is hunter2", "so it is"][draw.below(3)]),
        1 => Block::Redacted,
        2 => Block::Text(["Some text.", " \n", "with hunter2", "é"][draw.below(4)]),
        3 => call(draw, number, "think", json!({"thought": "hm"}).to_string()),
        4 => call(draw, number, "finish", json!({"message": "All done."}).to_string()),
        5 => {
            let odd = ["no_such_tool", "functions.terminal:0", "", "terminal"];
            let written = ["{\"a\": 1", "[]", "", "{\"cmd\": \"ls\"}"];
            call(draw, number, odd[number % 4], written[number / 4 % 4].to_owned())
        }
        6 => call(draw, number, "look", json!({ "path": number.to_string() }).to_string()),
        _ => call(draw, number, "terminal", json!({"command": format!("echo {number}")}).to_string()),
    }
}

fn call(draw: &mut Draw, number: usize, name: &'static str, arguments: String) -> Block {
    let id = match draw.below(6) {
        0 => "call_same".to_owned(),
        1 => "functions.terminal:0".to_owned(),
        2 => String::new(),
        _ => format!("call_{number}"),
    };
    Block::Call { id, name, arguments }
}
