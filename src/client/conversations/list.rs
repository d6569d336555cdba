//! The list of conversations.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::client::api::Api;
use crate::client::plain;
use crate::client::resolve::{id_of, pages};
use crate::client::spent::Spent;
use crate::client::told::{Paint, json_line};
use crate::client::values::{cut, text};

/// Characters of an id: it is told from all others by fewer.
const ID: usize = 13;
const TITLE: usize = 60;

/// How a conversation is, in the words of the API.
#[derive(Clone, Copy, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Status {
    Idle,
    Running,
    Paused,
    #[value(alias = "waiting")]
    WaitingForConfirmation,
    Finished,
    Error,
    Stuck,
}

pub async fn list(api: &Api, status: Option<Status>, json: bool) -> anyhow::Result<()> {
    let named = status.and_then(|status| clap::ValueEnum::to_possible_value(&status));
    let filter = named.map_or_else(String::new, |status| format!("&status={}", status.get_name()));
    let paint = Paint::for_output(io::stdout().is_terminal());
    let mut is_first = true;
    pages(api, &format!("&sort_order=UPDATED_AT_DESC{filter}"), |info| {
        if json {
            return Ok(json_line(info)?);
        }
        let mut out = io::stdout().lock();
        if std::mem::take(&mut is_first) {
            let head = row("ID", "STATUS", "CHANGED", "COST", "TITLE");
            writeln!(out, "{}", paint.bold(&head))?;
        }
        Ok(writeln!(out, "{}", line(info))?)
    })
    .await
}

fn line(info: &Value) -> String {
    let own = |pointer: &str| plain::line(text(info, pointer));
    let status = match text(info, "/execution_status") {
        "waiting_for_confirmation" => "waiting".to_owned(),
        _ => own("/execution_status"),
    };
    let id: String = plain::line(id_of(info)).chars().take(ID).collect();
    let changed: String = own("/updated_at").replace('T', " ").chars().take(16).collect();
    row(&id, &status, &changed, &cost(info), &cut(&own("/title"), TITLE))
}

fn row(id: &str, status: &str, changed: &str, cost: &str, title: &str) -> String {
    format!("{id:<ID$}  {status:<8}  {changed:<16}  {cost:>8}  {title}").trim_end().to_owned()
}

fn cost(info: &Value) -> String {
    format!("${:.2}", Spent::of(info).cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_title_that_a_model_has_made_stays_on_its_line() {
        let info = json!({"id": "3f2a9c01-aaaa-4bbb-8ccc-000000000000", "execution_status": "waiting_for_confirmation",
            "updated_at": "2026-11-23T00:49:11.143493Z", "title": "a\u{1b}]0;x\u{7}\nb"});
        assert_eq!(line(&info), "3f2a9c01-aaaa  waiting   2026-11-23 00:49     $0.00  a b");
    }
}
