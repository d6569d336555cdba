//! The editor's promises, kept on real files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use manyhands_tools::{Catalogue, ToolContext, ToolSet};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;
use types::tool::Toolbox as _;

struct Bench {
    set: ToolSet,
    folder: TempDir,
}

fn editor(folder: &Path) -> ToolSet {
    let context = ToolContext::new(folder, folder.join(".state"));
    let spec = ToolSpec { name: "file_editor".to_owned(), params: Map::new() };
    ToolSet::new(&Catalogue::standard(), &[spec], &[], &context).unwrap()
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { set: editor(folder.path()), folder }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    async fn call(&self, arguments: Value) -> Value {
        let parsed = self.set.parse("file_editor", arguments.as_object().unwrap()).unwrap();
        self.set.run("file_editor", &parsed.action, CancellationToken::new()).await.unwrap()
    }

    async fn edit(&self, path: &Path, arguments: Value) -> Value {
        let mut arguments = arguments;
        arguments["path"] = json!(path);
        self.call(arguments).await
    }

    async fn replace(&self, path: &Path, old: &str, new: &str) -> Value {
        self.edit(path, json!({"command": "str_replace", "old_str": old, "new_str": new})).await
    }

    async fn insert(&self, path: &Path, line: usize, text: &str) -> Value {
        self.edit(path, json!({"command": "insert", "insert_line": line, "new_str": text})).await
    }
}

fn text(observation: &Value) -> &str {
    observation["content"][0]["text"].as_str().unwrap()
}

fn error(observation: &Value) -> &str {
    assert_eq!(observation["is_error"], true, "{observation}");
    assert_eq!(observation.get("path"), None);
    assert_eq!(observation["prev_exist"], true);
    text(observation)
}

#[tokio::test]
async fn create_makes_a_new_file_and_nothing_else() {
    let bench = Bench::new();
    let path = bench.folder.path().join("a.txt");
    let seen = bench.edit(&path, json!({"command": "create", "file_text": "one\r\ntwo\n"})).await;
    let expected = json!({
        "content": [{"type": "text", "cache_prompt": false,
            "text": format!("File created successfully at: {}", path.display())}],
        "is_error": false,
        "command": "create",
        "path": path,
        "prev_exist": false,
        "new_content": "one\r\ntwo\n",
        "kind": "FileEditorObservation",
    });
    assert_eq!(seen, expected);
    assert_eq!(std::fs::read(&path).unwrap(), b"one\r\ntwo\n");

    let again = bench.edit(&path, json!({"command": "create", "file_text": "x"})).await;
    let reason = format!("Invalid `path` parameter: {0}. File already exists at: {0}.", path.display());
    assert!(error(&again).starts_with(&reason), "{again}");
    let orphan = bench.folder.path().join("no/such/file");
    assert!(
        error(&bench.edit(&orphan, json!({"command": "create", "file_text": "x"})).await)
            .contains("does not exist")
    );
    let undone = bench.edit(&path, json!({"command": "undo_edit"})).await;
    assert_eq!(error(&undone), format!("No edit history found for {}.", path.display()));
}

#[tokio::test]
async fn str_replace_shows_the_change_with_its_neighbours() {
    let bench = Bench::new();
    let lines: String = (1..=20).map(|line| format!("line {line}\n")).collect();
    let path = bench.file("a.txt", &lines);
    let seen = bench.replace(&path, "line 10\n", "ten\nand a half\n").await;
    let new = lines.replace("line 10\n", "ten\nand a half\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), new);
    assert_eq!((seen["old_content"].clone(), seen["new_content"].clone()), (json!(lines), json!(new)));
    let shown: Vec<_> = text(&seen).lines().filter(|line| line.contains('\t')).collect();
    assert_eq!(shown.first(), Some(&"     6\tline 6"));
    assert_eq!(shown[4], "    10\tten");
    assert_eq!(shown.last(), Some(&"    16\tline 15"));
}

#[tokio::test]
async fn str_replace_wants_exactly_one_match() {
    let bench = Bench::new();
    let path = bench.file("a.txt", "x\ny\nx\n\n  padded  \n");
    let shown = path.display();
    assert_eq!(
        error(&bench.replace(&path, "absent", "q").await),
        format!("No replacement was performed, old_str `absent` did not appear verbatim in {shown}.")
    );
    assert!(
        error(&bench.replace(&path, "x", "q").await)
            .contains("Multiple occurrences of old_str `x` in lines [1, 3].")
    );
    assert!(error(&bench.replace(&path, "y", "y").await).starts_with("Invalid `new_str` parameter: y."));
    assert!(error(&bench.replace(&path, "", "y").await).starts_with("Invalid `old_str` parameter"));
    let missing = bench.edit(&path, json!({"command": "str_replace", "old_str": "y"})).await;
    assert_eq!(error(&missing), "Parameter `new_str` is required for command: str_replace.");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "x\ny\nx\n\n  padded  \n");

    bench.replace(&path, "\n\ny\n\n", "\nz\n").await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "x\nz\nx\n\n  padded  \n");
    bench.replace(&path, "z\n", "").await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "x\nx\n\n  padded  \n");
}

#[tokio::test]
async fn insert_never_glues_lines_together() {
    let bench = Bench::new();
    for (before, line, new, after) in [
        ("a\nb\n", 0, "top", "top\na\nb\n"),
        ("a\nb\n", 1, "mid\n", "a\nmid\nb\n"),
        ("a\nb\n", 2, "end", "a\nb\nend\n"),
        ("x\ny", 2, "z", "x\ny\nz"),
        ("x\ny", 2, "z\n", "x\ny\nz\n"),
        ("", 0, "first", "first\n"),
        ("a\n", 1, "\n", "a\n\n"),
    ] {
        let path = bench.file("a.txt", before);
        let seen = bench.insert(&path, line, new).await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), after, "{new:?} after {line} of {before:?}");
        assert_eq!(seen["new_content"], after);
    }
    let path = bench.file("a.txt", "one\n2\nthree\n");
    let seen = bench.insert(&path, 1, "one and a half\n").await;
    let numbered = "     1\tone\n     2\tone and a half\n     3\t2\n     4\tthree\n";
    assert!(text(&seen).contains(numbered), "{seen}");
    let beyond = bench.insert(&path, 9, "x").await;
    assert_eq!(
        error(&beyond),
        "Invalid `insert_line` parameter: 9. It should be within the range of allowed values: [0, 4]."
    );
}

#[tokio::test]
async fn line_endings_and_encoding_survive_an_edit() {
    let bench = Bench::new();
    let path = bench.file("crlf.txt", "one\r\ntwo\r\nthree\r\n");
    bench.replace(&path, "one\ntwo", "1\n2").await;
    bench.insert(&path, 3, "four").await;
    assert_eq!(std::fs::read(&path).unwrap(), b"1\r\n2\r\nthree\r\nfour\r\n");

    let path = bench.file("mixed.txt", "one\r\ntwo\nthree\r\n");
    bench.replace(&path, "two", "2").await;
    assert_eq!(std::fs::read(&path).unwrap(), b"one\r\n2\nthree\r\n");

    let path = bench.file("latin.txt", b"caf\xe9\nx\n");
    bench.replace(&path, "café", "thé").await;
    assert_eq!(std::fs::read(&path).unwrap(), b"th\xe9\nx\n");

    let path = bench.file("bom.txt", "\u{feff}a\tb\n");
    bench.replace(&path, "a\tb", "c\td").await;
    assert_eq!(std::fs::read(&path).unwrap(), "\u{feff}c\td\n".as_bytes());
}

#[tokio::test]
async fn a_write_keeps_mode_and_links_and_leaves_nothing_behind() {
    let bench = Bench::new();
    let path = bench.file("tool.sh", "echo a\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o754)).unwrap();
    let link = bench.folder.path().join("link.sh");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    bench.replace(&link, "echo a", "echo b").await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "echo b\n");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o754);
    assert!(link.is_symlink());
    let mut left: Vec<_> =
        std::fs::read_dir(bench.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".state", "link.sh", "tool.sh"]);
}

#[tokio::test]
async fn undo_goes_back_step_by_step_and_tells_of_foreign_changes() {
    let bench = Bench::new();
    let path = bench.file("a.txt", "zero\n");
    for step in ["one", "two"] {
        let old = std::fs::read_to_string(&path).unwrap();
        bench.replace(&path, old.trim_end(), step).await;
    }
    let seen = bench.edit(&path, json!({"command": "undo_edit"})).await;
    assert_eq!((seen["old_content"].clone(), seen["new_content"].clone()), (json!("two\n"), json!("one\n")));
    assert!(text(&seen).ends_with(":\n     1\tone\n") && !text(&seen).contains("other means"), "{seen}");
    std::fs::write(&path, "foreign\n").unwrap();
    let seen = bench.edit(&path, json!({"command": "undo_edit"})).await;
    assert!(text(&seen).contains("changed by other means"), "{seen}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "zero\n");
    error(&bench.edit(&path, json!({"command": "undo_edit"})).await);
}

#[tokio::test]
async fn view_shows_files_with_numbers_and_ranges() {
    let bench = Bench::new();
    let path = bench.file("a.txt", "one\ntwo\nthree");
    let heading = format!("Here's the result of running `cat -n` on {}:\n", path.display());
    let seen = bench.edit(&path, json!({"command": "view"})).await;
    let expected = json!({
        "content": [{"type": "text", "cache_prompt": false,
            "text": format!("{heading}     1\tone\n     2\ttwo\n     3\tthree\n")}],
        "is_error": false,
        "command": "view",
        "path": path,
        "prev_exist": true,
        "kind": "FileEditorObservation",
    });
    assert_eq!(seen, expected);
    let view = async |range: Value| bench.edit(&path, json!({"command": "view", "view_range": range})).await;
    assert_eq!(text(&view(json!([2, -1])).await), format!("{heading}     2\ttwo\n     3\tthree\n"));
    let beyond = view(json!([3, 99])).await;
    assert!(
        text(&beyond).starts_with("NOTE: ") && text(&beyond).ends_with(&format!("{heading}     3\tthree\n"))
    );
    assert!(error(&view(json!([0, 1])).await).contains("[1, 3]"));
    assert!(error(&view(json!([3, 2])).await).contains("not smaller"));
    assert!(error(&view(json!([1])).await).contains("two integers"));

    let empty = bench.file("empty", "");
    let seen = bench.edit(&empty, json!({"command": "view"})).await;
    assert_eq!(text(&seen), format!("Here's the result of running `cat -n` on {}:\n", empty.display()));
    let seen = bench.edit(&empty, json!({"command": "view", "view_range": [1, 2]})).await;
    assert!(error(&seen).contains("The file is empty"), "{seen}");
}

#[tokio::test]
async fn view_lists_directories_two_levels_deep() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.folder.path().join("sub/deep/deeper")).unwrap();
    bench.file("sub/b.txt", "");
    bench.file("sub/.hidden", "");
    bench.file("a.txt", "");
    bench.file(".env", "");
    let root = bench.folder.path().display().to_string();
    let seen = bench.edit(bench.folder.path(), json!({"command": "view"})).await;
    assert_eq!(
        text(&seen),
        format!(
            "Here's the files and directories up to 2 levels deep in {root}, excluding hidden items:\n\
             {root}/\n{root}/a.txt\n{root}/sub/\n{root}/sub/b.txt\n{root}/sub/deep/\n\n\
             1 hidden files/directories in this directory are excluded. You can use 'ls -la {root}' to see them."
        )
    );
    let wrong = bench.edit(bench.folder.path(), json!({"command": "undo_edit"})).await;
    assert!(error(&wrong).contains("only the `view` command"));
}

#[tokio::test]
async fn images_come_as_data_urls() {
    let bench = Bench::new();
    let path = bench.file("p.JPG", [0xff, 0xd8, 0xff]);
    let seen = bench.edit(&path, json!({"command": "view"})).await;
    assert_eq!(seen["content"][0]["type"], "text");
    assert_eq!(
        seen["content"][1],
        json!({"type": "image", "cache_prompt": false, "image_urls": ["data:image/jpeg;base64,/9j/"]})
    );
}

#[tokio::test]
async fn unsuitable_files_are_refused() {
    let bench = Bench::new();
    let binary = bench.file("a.bin", b"\x7fELF\0\0");
    assert!(error(&bench.edit(&binary, json!({"command": "view"})).await).contains("appears to be binary"));
    let large = bench.file("large.txt", vec![b'x'; 12 * 1024 * 1024]);
    assert_eq!(
        error(&bench.edit(&large, json!({"command": "view"})).await),
        format!(
            "File validation failed for {}: File is too large (12.0MB). Maximum allowed size is 10MB.",
            large.display()
        )
    );
    let relative = bench.call(json!({"command": "view", "path": "a.bin"})).await;
    let reason = "Invalid `path` parameter: a.bin. The path should be an absolute path. Maybe you meant ";
    assert!(error(&relative).starts_with(reason), "{relative}");
    let missing = bench.edit(&bench.folder.path().join("none"), json!({"command": "view"})).await;
    assert!(error(&missing).contains("does not exist"));
    let device = bench.call(json!({"command": "view", "path": "/dev/null"})).await;
    assert!(error(&device).contains("not a regular file"));
}

#[tokio::test]
async fn an_edit_can_be_undone_long_after_its_tools_are_gone() {
    let mut bench = Bench::new();
    let path = bench.file("a.txt", "one\n");
    bench.replace(&path, "one", "two").await;
    bench.replace(&path, "two", "three").await;
    bench.set = editor(bench.folder.path());
    for expected in ["two\n", "one\n"] {
        let seen = bench.edit(&path, json!({"command": "undo_edit"})).await;
        assert_eq!(seen["is_error"], false, "{seen}");
        assert!(!text(&seen).contains("by other means"), "{seen}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        bench.set = editor(bench.folder.path());
    }
    assert!(error(&bench.edit(&path, json!({"command": "undo_edit"})).await).starts_with("No edit history"));
}

#[tokio::test]
async fn the_event_of_an_edit_in_a_large_file_stays_small_and_says_so() {
    let bench = Bench::new();
    let path = bench.file("large.txt", format!("first\n{}", "line of a large file\n".repeat(150_000)));
    for seen in [
        bench.replace(&path, "first", "second").await,
        bench.insert(&path, 0, "zeroth").await,
        bench.edit(&path, json!({"command": "undo_edit"})).await,
    ] {
        assert_eq!(seen["is_error"], false, "{seen}");
        assert!(seen.to_string().len() < 64 * 1024, "{}", seen.to_string().len());
        assert_eq!((seen.get("old_content"), seen.get("new_content")), (None, None));
        assert!(text(&seen).contains("does not hold the file's content"), "{}", text(&seen));
    }
    let small = bench.file("small.txt", "one\n");
    let seen = bench.replace(&small, "one", "two").await;
    assert_eq!((&seen["old_content"], &seen["new_content"]), (&json!("one\n"), &json!("two\n")));
}

#[tokio::test]
async fn a_hard_linked_file_stays_one_file() {
    let bench = Bench::new();
    let source = bench.file("source.md", "a long beginning\nold\n");
    let deployed = bench.folder.path().join("deployed.md");
    std::fs::hard_link(&source, &deployed).unwrap();
    bench.replace(&source, "a long beginning\nold", "new").await;
    assert_eq!(std::fs::read_to_string(&deployed).unwrap(), "new\n");
    bench.edit(&source, json!({"command": "undo_edit"})).await;
    assert_eq!(std::fs::read_to_string(&deployed).unwrap(), "a long beginning\nold\n");
}

#[tokio::test]
async fn the_kind_of_an_image_is_read_from_its_bytes() {
    let bench = Bench::new();
    for (name, bytes, kind) in [
        ("shot.png", &b"\xff\xd8\xff\xe0\0\x10JFIF\0"[..], "image/jpeg"),
        ("noname", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        ("a.txt", b"GIF89a\x01\0\x01\0", "image/gif"),
        ("b.bmp", b"RIFF\x1a\0\0\0WEBPVP8 ", "image/webp"),
    ] {
        let path = bench.file(name, bytes);
        let seen = bench.edit(&path, json!({"command": "view"})).await;
        let url = seen["content"][1]["image_urls"][0].as_str().unwrap();
        assert!(url.starts_with(&format!("data:{kind};base64,")), "{name}: {url}");
    }
    let drawn = bench.file("page.png", "<html>\n");
    assert!(text(&bench.edit(&drawn, json!({"command": "view"})).await).ends_with("     1\t<html>\n"));
    let bitmap = bench.file("old.bmp", b"BM\x1a\0\0\0\0\0\0\0");
    assert!(
        error(&bench.edit(&bitmap, json!({"command": "view"})).await).contains("png, jpeg, gif and webp")
    );
    let huge = bench.file("huge.png", [&b"\x89PNG\r\n\x1a\n"[..], &vec![1; 1024 * 1024]].concat());
    let seen = bench.edit(&huge, json!({"command": "view"})).await;
    assert!(error(&seen).contains("Make a smaller copy"), "{seen}");
}

/// A name is looked at, then the file is opened: in between it may become something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_becomes_a_pipe_while_it_is_edited_keeps_nobody() {
    let bench = Bench::new();
    let path = bench.file("f", "one");
    // With a second name a file is written in place.
    std::fs::hard_link(&path, bench.folder.path().join("other")).unwrap();
    let script = "while :; do mkfifo p 2>/dev/null; ln -f p q; mv -f q f; ln -f other f; done";
    let swapping =
        std::process::Command::new("/bin/sh").args(["-c", script]).current_dir(bench.folder.path()).spawn();
    let mut swapping = swapping.unwrap();
    for _ in 0..300 {
        let editing = bench.replace(&path, "one", "one");
        tokio::time::timeout(std::time::Duration::from_secs(10), editing).await.expect("it waits for ever");
    }
    swapping.kill().unwrap();
    swapping.wait().unwrap();
}
