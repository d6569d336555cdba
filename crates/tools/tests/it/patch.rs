//! The promises of `apply_patch`, kept on real files.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::bench::{Bench, error, text};

async fn apply(bench: &Bench, body: &str) -> Value {
    bench.call("apply_patch", json!({"patch": format!("*** Begin Patch\n{body}\n*** End Patch\n")})).await
}

#[tokio::test]
async fn files_are_added_changed_moved_and_deleted_by_one_patch() {
    let bench = Bench::new();
    bench.write("a.txt", "one\ntwo\nthree\n");
    bench.write("run.sh", "echo a\n");
    fs::set_permissions(bench.path("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    bench.write("gone.txt", "bye\n");
    let seen = apply(
        &bench,
        "*** Update File: a.txt\n@@\n one\n-two\n+2\n three\n*** Update File: run.sh\n*** Move to: bin/run.sh\n-echo a\n+echo b\n\
         *** Delete File: gone.txt\n*** Add File: new/b.txt\n+first\n+\n+last\n*** Add File: empty",
    )
    .await;
    let expected = json!({
        "content": [{"type": "text", "cache_prompt": false, "text": "Done!"}],
        "is_error": false,
        "message": "Done!",
        "fuzz": 0,
        "commit": {"changes": {
            "a.txt": {"type": "update", "old_content": "one\ntwo\nthree\n", "new_content": "one\n2\nthree\n"},
            "run.sh": {"type": "update", "old_content": "echo a\n", "new_content": "echo b\n", "move_path": "bin/run.sh"},
            "gone.txt": {"type": "delete", "old_content": "bye\n"},
            "new/b.txt": {"type": "add", "new_content": "first\n\nlast\n"},
            "empty": {"type": "add", "new_content": ""},
        }},
        "kind": "ApplyPatchObservation",
    });
    assert_eq!(seen, expected);
    let files = [
        ("a.txt", "one\n2\nthree\n"),
        ("bin/run.sh", "echo b\n"),
        ("empty", ""),
        ("new/b.txt", "first\n\nlast\n"),
    ];
    assert_eq!(bench.files(), files.map(|(name, text)| (name.to_owned(), text.to_owned())));
    assert_eq!(bench.path("bin/run.sh").metadata().unwrap().permissions().mode() & 0o777, 0o755);

    let undo = json!({"command": "undo_edit", "path": bench.path("a.txt")});
    assert_eq!(bench.call("file_editor", undo).await["is_error"], false);
    assert_eq!(bench.read("a.txt"), "one\ntwo\nthree\n");
}

#[tokio::test]
async fn lines_that_are_a_little_different_are_found_and_how_much_is_told() {
    let bench = Bench::new();
    bench.write("a.py", "def f():\n    x = 1  \r\n    return x\r\n");
    let seen =
        apply(&bench, "*** Update File: a.py\n@@ def f():\n     x = 1\n-return x\n+    return 2").await;
    assert_eq!((text(&seen), &seen["fuzz"]), ("Done!", &json!(100)));
    assert_eq!(bench.read("a.py"), "def f():\n    x = 1  \r\n    return 2\n", "what stays is not touched");

    bench.write("crlf.txt", "one\r\ntwo\r\n");
    let seen = apply(&bench, "*** Update File: crlf.txt\n one\n-two\n+2\n+3").await;
    assert_eq!(seen["fuzz"], 0);
    assert_eq!(bench.read("crlf.txt"), "one\r\n2\r\n3\r\n", "lines end as they did");
}

#[tokio::test]
async fn a_patch_that_does_not_fit_changes_nothing() {
    let bench = Bench::new();
    bench.write("a.txt", "one\n");
    bench.write("b.txt", "two\n");
    bench.write("folder/c.txt", "three\n");
    bench.write("binary", b"\0");
    let outside = bench.root.with_file_name("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("x"), "x\n").unwrap();
    symlink(&outside, bench.path("link")).unwrap();
    symlink(outside.join("x"), bench.path("x")).unwrap();
    let before = (bench.files(), fs::read_to_string(outside.join("x")).unwrap());
    let absolute = format!("*** Delete File: {}", outside.join("x").display());
    let first = "*** Update File: a.txt\n-one\n+1\n";
    for (body, told) in [
        ("*** Update File: b.txt\n-three\n+3", "Invalid Context 0:\nthree"),
        ("*** Update File: none\n-a\n+b", "Update File Error: Missing File: none"),
        ("*** Delete File: none", "Delete File Error: Missing File: none"),
        ("*** Delete File: folder", "Delete File Error: Path is a directory: folder"),
        ("*** Add File: b.txt\n+x", "Add File Error: File already exists: b.txt"),
        ("*** Update File: ./a.txt\n-one\n+2", "Update File Error: Duplicate Path: ./a.txt"),
        (
            "*** Update File: b.txt\n*** Move to: folder/c.txt",
            "Update File Error: Move target already exists: folder/c.txt",
        ),
        (
            "*** Update File: b.txt\n*** Move to: a.txt",
            "Update File Error: Move target already exists: a.txt",
        ),
        ("*** Update File: binary\n-x", "File validation failed for "),
        ("*** Add File: ../x\n+x", "Absolute or escaping paths are not allowed: ../x"),
        ("*** Add File: folder/../y\n+x", "Absolute or escaping paths are not allowed: folder/../y"),
        ("*** Add File: link/y\n+x", "Absolute or escaping paths are not allowed: link/y"),
        ("*** Update File: x\n-x\n+y", "Absolute or escaping paths are not allowed: x"),
        ("*** Delete File: link/x", "Absolute or escaping paths are not allowed: link/x"),
        (absolute.as_str(), "Absolute or escaping paths are not allowed: /"),
        ("*** Add File: \n+x", "Absolute or escaping paths are not allowed: "),
        ("*** Rename File: b.txt", "Invalid Line: *** Rename File: b.txt"),
    ] {
        let seen = apply(&bench, &format!("{first}{body}")).await;
        assert!(error(&seen).starts_with(told), "{body}: {seen}");
        assert_eq!(seen.get("commit"), None);
        assert_eq!((bench.files(), fs::read_to_string(outside.join("x")).unwrap()), before, "{body}");
    }
    let inside = format!("*** Update File: {}\n-one\n+1", bench.path("a.txt").display());
    assert_eq!(text(&apply(&bench, &inside).await), "Done!");
}

#[tokio::test]
async fn a_patch_that_fails_half_way_says_what_it_has_done() {
    let bench = Bench::new();
    bench.write("a.txt", "one\n");
    // A file in the place of a folder shows when the folder is to be made.
    let seen = apply(&bench, "*** Update File: a.txt\n-one\n+1\n*** Add File: d\n+x\n*** Add File: d/e\n+y\n*** Delete File: a.txt")
        .await;
    assert_eq!(error(&seen), "Delete File Error: Duplicate Path: a.txt");
    let seen =
        apply(&bench, "*** Update File: a.txt\n-one\n+1\n*** Add File: d\n+x\n*** Add File: d/e\n+y").await;
    assert!(error(&seen).contains("while trying to make the folder"), "{seen}");
    assert!(error(&seen).ends_with("Done already: a.txt, d."), "{seen}");
    let done: Vec<&String> = seen["commit"]["changes"].as_object().unwrap().keys().collect();
    assert_eq!(done, ["a.txt", "d"]);
    assert_eq!(bench.read("a.txt"), "1\n");
}

#[tokio::test]
async fn the_event_of_a_patch_of_large_files_stays_small() {
    let bench = Bench::new();
    let mut body = String::new();
    for number in 0..20 {
        bench.write(&format!("{number}.txt"), format!("first\n{}", "line\n".repeat(10_000)));
        body.push_str(&format!("*** Update File: {number}.txt\n-first\n+second\n"));
    }
    let seen = apply(&bench, body.trim_end()).await;
    assert_eq!(text(&seen), "Done!");
    assert_eq!(seen["commit"]["changes"].as_object().unwrap().len(), 20);
    assert!(seen.to_string().len() < 600 * 1024, "{}", seen.to_string().len());
    assert!(bench.read("19.txt").starts_with("second\n"));
}

/// A file, and what became of its lines: kept, gone, or with others before them.
fn edited() -> impl Strategy<Value = (Vec<(String, u8, Vec<String>)>, bool)> {
    let word = || "[a-c ]{0,3}";
    let line = (word(), 0..4u8, prop::collection::vec(word(), 0..3));
    (prop::collection::vec(line, 0..30), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_patch_of_all_lines_makes_of_a_file_what_it_says((lines, newline) in edited()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new();
            let (mut before, mut after, mut hunk) = (Vec::new(), Vec::new(), String::new());
            for (line, fate, inserted) in &lines {
                before.push(line.clone());
                if *fate == 3 {
                    for text in inserted {
                        after.push(text.clone());
                        hunk.push_str(&format!("+{text}\n"));
                    }
                }
                if *fate == 1 {
                    hunk.push_str(&format!("-{line}\n"));
                } else {
                    after.push(line.clone());
                    hunk.push_str(&format!(" {line}\n"));
                }
            }
            let whole = |lines: &[String]| lines.join("\n") + if newline && !lines.is_empty() { "\n" } else { "" };
            let (before, after) = (whole(&before), whole(&after));
            bench.write("f", &before);
            if lines.is_empty() {
                return;
            }
            let seen = apply(&bench, &format!("*** Update File: f\n@@\n{hunk}*** End of File")).await;
            assert_eq!((text(&seen), &seen["fuzz"]), ("Done!", &json!(0)));
            assert_eq!(bench.read("f"), after, "{before:?} {hunk:?}");
        });
    }
}
