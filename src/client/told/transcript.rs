//! A conversation as a person reads it in a terminal.

use std::io::{self, Write};

use serde_json::Value;

use super::diff::{self, Line};
use super::paint::Paint;
use super::spoken::{Spoken, Told};
use crate::client::plain::{block, line, visible, visible_line};
use crate::client::seen::{Action, Deed, Edit, Outcome, Seen, Task, Words};
use crate::client::values::cut;

/// Lines that are shown of what is long: where it begins, and where it ends.
const HEAD: usize = 12;
const TAIL: usize = 28;
/// Characters of the arguments of a tool that is not known here.
const ARGUMENTS: usize = 200;

pub struct Transcript<W> {
    out: W,
    paint: Paint,
    shows: Shows,
    spoken: Spoken,
}

#[derive(Clone, Copy, Default)]
pub struct Shows {
    /// What users say, too: who has just said it need not read it.
    pub users: bool,
    /// Long outputs and changes whole, and what the agent has thought.
    pub all: bool,
}

impl<W: Write> Transcript<W> {
    pub fn new(out: W, paint: Paint, shows: Shows) -> Self {
        Self { out, paint, shows, spoken: Spoken::default() }
    }

    /// # Errors
    /// Where the output takes nothing any more.
    pub fn event(&mut self, seen: &Seen) -> io::Result<()> {
        let paint = self.paint;
        match seen {
            Seen::User(said) if self.shows.users => {
                let said = block(said);
                self.paragraph(&said.lines().map(|line| paint.bold(&format!("> {line}"))).collect::<Vec<_>>())
            }
            Seen::User(_) | Seen::Nothing => Ok(()),
            Seen::Nudge(said) => self.note(&line(said)),
            Seen::Agent(words) => self.words(words),
            Seen::Action(action) => self.action(action),
            Seen::Outcome(outcome) => self.outcome(outcome),
            Seen::CallFailed { error, .. } => self.shown(error, Paint::red),
            Seen::Rejected { reason, .. } => {
                self.paragraph(&[paint.red(&format!("rejected: {}", line(reason)))])
            }
            Seen::Failed { code, detail } => {
                self.paragraph(&[paint.red(&format!("{}: {}", line(code), line(detail)))])
            }
            Seen::Paused => self.note("paused"),
            Seen::Interrupted => self.note("interrupted"),
            Seen::Condensed => self.note("what was said before was made shorter for the model"),
        }?;
        self.out.flush()
    }

    /// # Errors
    /// As [`Transcript::event`].
    pub fn piece(&mut self, piece: &Value) -> io::Result<()> {
        match self.spoken.hear(piece) {
            Told::More(shown) => write!(self.out, "{shown}")?,
            Told::Anew => writeln!(self.out, " …")?,
            Told::Nothing => return Ok(()),
        }
        self.out.flush()
    }

    fn words(&mut self, words: &Words) -> io::Result<()> {
        match self.spoken.rest_of(&words.event, &words.text) {
            Some(rest) => writeln!(self.out, "{rest}"),
            None if words.text.trim().is_empty() => Ok(()),
            None => {
                if self.shows.all && !words.reasoning.is_empty() {
                    self.shown(&words.reasoning, Paint::dim)?;
                }
                self.paragraph(&[block(words.text.trim_end())])
            }
        }
    }

    fn action(&mut self, action: &Action) -> io::Result<()> {
        self.words(&action.words)?;
        let paint = self.paint;
        match &action.deed {
            Deed::Command { line, is_input } => {
                let (mark, text) = (if *is_input { "<" } else { "$" }, visible(line));
                let lines = text.lines().map(|line| paint.cyan(&format!("{mark} {line}")));
                self.paragraph(&lines.collect::<Vec<_>>())
            }
            Deed::View { path } => self.paragraph(&[paint.cyan(&format!("view {}", visible_line(path)))]),
            Deed::Edit { command, path } => {
                self.paragraph(&[paint.cyan(&format!("{} {}", visible_line(command), visible_line(path)))])
            }
            Deed::Think { thought } => self.shown(thought, Paint::dim),
            Deed::Plan { tasks } => {
                self.paragraph(&tasks.iter().map(|task| plan_line(paint, task)).collect::<Vec<_>>())
            }
            Deed::Finish { message } if message.trim().is_empty() => Ok(()),
            Deed::Finish { message } => self.paragraph(&[paint.bold(&block(message.trim_end()))]),
            Deed::Other => {
                let arguments = cut(&visible(&action.arguments.to_string()), ARGUMENTS);
                self.paragraph(&[paint.cyan(&format!("{} {arguments}", line(&action.tool)))])
            }
        }
    }

    fn outcome(&mut self, outcome: &Outcome) -> io::Result<()> {
        if outcome.is_error {
            return self.shown(&outcome.text, Paint::red);
        }
        if let Some(edit) = &outcome.edit {
            return self.edit(edit);
        }
        match outcome.tool.as_str() {
            "finish" | "think" | "task_tracker" => Ok(()),
            "file_editor" => self.note(&format!("{} lines", outcome.text.lines().count())),
            _ => {
                self.shown(&outcome.text, Paint::dim)?;
                match outcome.exit_code {
                    Some(code) if code > 0 => {
                        self.paragraph(&[self.paint.red(&format!("exit status {code}"))])
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn edit(&mut self, edit: &Edit) -> io::Result<()> {
        let paint = self.paint;
        let before = edit.before.as_deref().unwrap_or_default();
        let lines = diff::lines(before, &edit.after).into_iter().map(|line| match line {
            Line::Same(text) => format!("  {}", block(text)),
            Line::Gone(text) => paint.red(&format!("- {}", block(text))),
            Line::New(text) => paint.green(&format!("+ {}", block(text))),
        });
        let lines = self.shortened(lines.collect());
        if lines.is_empty() && before != edit.after {
            return self.note("only ends of lines have changed");
        }
        self.paragraph(&lines)
    }

    /// A text that may be long.
    fn shown(&mut self, text: &str, colour: fn(Paint, &str) -> String) -> io::Result<()> {
        let text = block(text);
        let lines = text.trim_end().lines().map(|line| colour(self.paint, line)).collect();
        let lines = self.shortened(lines);
        self.paragraph(&lines)
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        self.paragraph(&[self.paint.dim(&format!("({text})"))])
    }

    fn paragraph(&mut self, lines: &[String]) -> io::Result<()> {
        if self.spoken.forget() == Told::Anew {
            writeln!(self.out)?;
        }
        lines.iter().try_for_each(|line| writeln!(self.out, "{line}"))
    }

    fn shortened(&self, mut lines: Vec<String>) -> Vec<String> {
        let more = lines.len().saturating_sub(HEAD + TAIL);
        if self.shows.all || more < 2 {
            return lines;
        }
        let note = self.paint.dim(&format!("… {more} more lines (--full shows them)"));
        drop(lines.splice(HEAD..HEAD + more, [note]));
        lines
    }
}

fn plan_line(paint: Paint, task: &Task) -> String {
    let title = line(&task.title);
    match task.status.as_str() {
        "done" => paint.dim(&format!("[x] {title}")),
        "in_progress" => paint.bold(&format!("[>] {title}")),
        _ => format!("[ ] {title}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(shows: Shows, events: &[Value]) -> String {
        let mut transcript = Transcript::new(Vec::new(), Paint::default(), shows);
        for event in events {
            match event.get("kind") {
                Some(_) => transcript.event(&Seen::of(event)).unwrap(),
                None => transcript.piece(event).unwrap(),
            }
        }
        String::from_utf8(transcript.out).unwrap()
    }

    fn command(line: &str) -> Value {
        json!({"kind": "ActionEvent", "id": "e", "tool_name": "terminal", "tool_call_id": "c",
            "thought": [{"type": "text", "text": "Let me see."}], "action": {"command": line}})
    }

    fn output(text: &str, exit_code: i64) -> Value {
        json!({"kind": "ObservationEvent", "tool_name": "terminal", "tool_call_id": "c",
            "observation": {"content": [{"type": "text", "text": text}], "exit_code": exit_code}})
    }

    #[test]
    fn a_command_is_told_with_what_it_says_and_how_it_ends() {
        let events = [command("ls\npwd"), output("a\u{1b}[31mb\n", 2)];
        assert_eq!(told(Shows::default(), &events), "Let me see.\n$ ls\n$ pwd\nab\nexit status 2\n");
    }

    #[test]
    fn what_is_long_is_shown_where_it_begins_and_ends_unless_all_is_wanted() {
        let long: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let short = told(Shows::default(), &[output(&long, 0)]);
        assert!(short.contains("line 11\n… 60 more lines (--full shows them)\nline 72\n"), "{short}");
        assert_eq!(told(Shows { all: true, users: false }, &[output(&long, 0)]), long);
    }

    #[test]
    fn what_was_heard_while_it_was_said_stands_there_once() {
        let delta = |text: &str| json!({"type": "delta", "kind": "text", "item_id": "e", "attempt": 1, "content": text});
        let events = [delta("Let me"), delta(" see."), command("ls")];
        assert_eq!(told(Shows::default(), &events), "Let me see.\n$ ls\n");
    }

    #[test]
    fn an_edit_is_a_diff_and_a_plan_a_list() {
        let edit = |old: &str, new: &str| {
            json!({"kind": "ObservationEvent", "tool_name": "file_editor", "tool_call_id": "c",
            "observation": {"path": "/a", "old_content": old, "new_content": new, "content": []}})
        };
        let ends = told(Shows::default(), &[edit("1\r\n2\n", "1\n2")]);
        assert_eq!(ends, "(only ends of lines have changed)\n");
        let edit = edit("1\n2\n", "1\nzwei\n");
        let plan = json!({"kind": "ActionEvent", "tool_name": "task_tracker", "tool_call_id": "p", "action": {"command": "plan",
            "task_list": [{"title": "a", "status": "done"}, {"title": "b", "status": "todo"}]}});
        assert_eq!(told(Shows::default(), &[edit, plan]), "  1\n- 2\n+ zwei\n[x] a\n[ ] b\n");
    }
}
