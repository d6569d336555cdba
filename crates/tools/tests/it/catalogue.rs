//! A new tool is one type and one line; what is around tools keeps its promises for it as well.

use std::path::Path;
use std::sync::Arc;

use manyhands_tools::tool::{Listed, Tool};
use manyhands_tools::{Annotations, Args, Catalogue, Error, Observation, Spec, ToolContext, ToolSet};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;
use types::tool::Toolbox as _;

/// Says a word many times.
struct Echo;

#[derive(Debug, Serialize, Deserialize)]
struct Word {
    word: String,
    times: u64,
}

impl Listed for Echo {
    const NAME: &'static str = "echo";
    const CLASS: &'static str = "Echo";
    const SUMMARY: Option<&'static str> = Some("Says it again");

    fn make(_params: &Map<String, Value>, _context: &ToolContext) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl Tool for Echo {
    type Action = Word;

    fn spec(&self) -> Spec {
        let parameters = json!({"type": "object", "properties": {"word": {"type": "string"}, "times": {"type": "integer"}}});
        let hints = Annotations {
            titled: false,
            read_only: true,
            destructive: false,
            idempotent: true,
            open_world: false,
        };
        Spec::of::<Self>("Says a word again.", parameters, hints)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Word, String> {
        let mut args = Args::new(arguments);
        let (word, times) = (args.text("word"), args.count("times").unwrap_or(1));
        args.finish()?;
        Ok(Word { word, times })
    }

    async fn run(&self, action: Arc<Word>, _: CancellationToken) -> Result<Observation, String> {
        let times = usize::try_from(action.times).unwrap();
        Ok(Observation::text(action.word.repeat(times)).with("times", Some(times)))
    }
}

fn set(folder: &Path) -> ToolSet {
    let spec = ToolSpec { name: "EchoTool".to_owned(), params: Map::new() };
    let context = ToolContext::new(folder, folder);
    ToolSet::new(&Catalogue::standard().with::<Echo>(), &[spec], &[], &context).unwrap()
}

async fn echo(folder: &Path, word: &str, times: u64) -> Value {
    let set = set(folder);
    let parsed = set.parse("echo", json!({"word": word, "times": times}).as_object().unwrap()).unwrap();
    set.run("echo", &parsed.action, CancellationToken::new()).await.unwrap()
}

#[tokio::test]
async fn one_line_puts_a_tool_into_catalogue_schema_and_use() {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::standard().with::<Echo>();
    let entry = catalogue.entries().last().unwrap();
    assert_eq!((entry.name, entry.class, entry.summary), ("echo", "Echo", Some("Says it again")));

    let set = set(folder.path());
    let definition = &set.definitions()[0];
    assert_eq!((definition.name.as_str(), definition.read_only), ("echo", true));
    assert_eq!(definition.announced["kind"], "EchoTool");
    assert_eq!(definition.parameters["properties"]["word"]["type"], "string");

    let parsed = set.parse("echo", json!({"word": "ha"}).as_object().unwrap()).unwrap();
    assert_eq!(parsed.described, json!({"word": "ha", "times": 1, "kind": "EchoAction"}));
    assert!(set.parse("echo", &Map::new()).unwrap_err().contains("`word` is required"));

    let seen = set.run("echo", &parsed.action, CancellationToken::new()).await.unwrap();
    let content = json!([{"type": "text", "cache_prompt": false, "text": "ha"}]);
    assert_eq!(seen, json!({"content": content, "is_error": false, "times": 1, "kind": "EchoObservation"}));
}

#[test]
fn a_tool_is_in_the_default_set_only_if_it_says_so() {
    let catalogue = Catalogue::standard().with::<Echo>();
    let default = catalogue.entries().iter().filter(|entry| entry.in_default_set);
    let names: Vec<_> = default.map(|entry| entry.name).collect();
    assert_eq!(names, ["terminal", "file_editor", "task_tracker"]);
}

#[tokio::test]
async fn an_action_read_from_its_event_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let set = set(folder.path());
    let parsed = set.parse("echo", json!({"word": "ha", "times": 3}).as_object().unwrap()).unwrap();
    let restored = set.restore("echo", &parsed.described).unwrap();
    let seen = set.run("echo", &restored, CancellationToken::new()).await.unwrap();
    assert_eq!(seen["content"][0]["text"], "hahaha");
    assert!(set.restore("echo", &json!({"kind": "EchoAction"})).is_err());
}

#[tokio::test]
async fn no_result_is_larger_than_an_event_may_be_and_the_whole_is_kept() {
    const MOST: usize = 1024 * 1024 - 32 * 1024;
    let folder = tempfile::tempdir().unwrap();
    // What JSON writes with six letters, too.
    for word in ["abcdefghij", "\u{1}"] {
        let seen = echo(folder.path(), word, 3_000_000).await;
        assert!(seen.to_string().len() < MOST, "{}", seen.to_string().len());
        assert_eq!(seen["times"], 3_000_000);
        let shown = seen["content"][0]["text"].as_str().unwrap();
        assert!(shown.starts_with(word) && shown.ends_with(word) && shown.contains("bytes cut"));
        let notice = seen["content"][1]["text"].as_str().unwrap();
        let path = notice.split(" is in ").nth(1).unwrap().trim_end_matches(".]");
        let whole: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(whole["content"][0]["text"].as_str().unwrap() == word.repeat(3_000_000));
    }
    let seen = echo(folder.path(), "small", 1).await;
    assert_eq!(seen["content"].as_array().unwrap().len(), 1);
}
