//! However large files are and whatever models ask of them, calls take little memory and come to an end.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::bench::{Bench, error, text};

/// From now on this process takes so many more bytes, and not one besides.
fn take_no_more_than(bytes: u64) {
    let held = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = held.split_whitespace().next().unwrap().parse().unwrap();
    let most = Some(pages * 4096 + bytes);
    setrlimit(Resource::As, Rlimit { current: most, maximum: most }).unwrap();
}

#[tokio::test]
async fn an_edit_that_would_make_a_file_huge_is_refused_before_it_is_made() {
    let bench = Bench::new();
    bench.write("a.txt", "a".repeat(1 << 20));
    take_no_more_than(512 << 20);
    let edit = json!({
        "file_path": "a.txt", "old_string": "a", "new_string": "b".repeat(1 << 10), "expected_replacements": 1 << 20,
    });
    let seen = bench.call("edit", edit).await;
    assert!(error(&seen).contains("File is too large (1024.0MB)"), "{seen}");
    assert!(bench.read("a.txt").starts_with("aa"));
}

#[tokio::test]
async fn a_text_that_is_in_a_file_a_million_times_is_refused_in_a_few_words_and_seconds() {
    let bench = Bench::new();
    for (lines, others) in [(30, 10), (5_000_000, 4_999_980)] {
        let path = bench.write("a.txt", "}\n".repeat(lines));
        let arguments = json!({"command": "str_replace", "path": path, "old_str": "}", "new_str": "{"});
        let begun = Instant::now();
        let seen = bench.call("file_editor", arguments).await;
        assert!(error(&seen).contains(&format!("19, 20] and {others} times behind these.")), "{seen}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_file_of_many_lines_is_shown_without_writing_them_all() {
    let bench = Bench::new();
    let path = bench.write("a.txt", "\n".repeat(4 << 20));
    take_no_more_than(300 << 20);
    let seen = bench.call("file_editor", json!({"command": "view", "path": path})).await;
    let shown = text(&seen);
    assert!(shown.contains("     1\t\n") && shown.ends_with("\n4194304\t\n"), "{}", shown.len());
    assert!(shown.contains("are left out; see them with view_range"));
}

#[tokio::test]
async fn files_that_a_patch_deletes_are_not_held() {
    let bench = Bench::new();
    bench.write("0.txt", "some words\n".repeat(400_000));
    (1..200).for_each(|name| {
        fs::hard_link(bench.path("0.txt"), bench.path(&format!("{name}.txt"))).unwrap();
    });
    bench.write("small.txt", "bye\n");
    take_no_more_than(400 << 20);
    let mut patch = "*** Begin Patch\n*** Delete File: small.txt\n".to_owned();
    (0..200).for_each(|name| patch.push_str(&format!("*** Delete File: {name}.txt\n")));
    let seen = bench.call("apply_patch", json!({"patch": patch + "*** End Patch"})).await;
    assert_eq!(text(&seen), "Done!");
    assert_eq!(seen["commit"]["changes"]["small.txt"]["old_content"], "bye\n");
    assert_eq!(bench.files(), []);
}

#[tokio::test]
async fn a_patch_that_would_be_looked_for_all_day_is_refused() {
    let bench = Bench::new();
    bench.write("a.txt", "\n".repeat(1 << 20));
    let patch =
        format!("*** Begin Patch\n*** Update File: a.txt\n@@\n{} x\n-y\n*** End Patch", "\n".repeat(100_000));
    let seen = bench.call("apply_patch", json!({"patch": patch})).await;
    assert_eq!(error(&seen), "The patch has too many lines for so large a file. Part it.");
}

/// From each place such a pattern reads on to the end of the line.
#[tokio::test(flavor = "multi_thread")]
async fn no_pattern_keeps_a_search() {
    let bench = Bench::new();
    bench.write("long.js", format!("{}z\n", "ax ".repeat(1 << 20)));
    bench.write("found.js", "yz\n");
    for pattern in ["(?=.*z)y", "(\\w+\\s?)+(?!a)$", "(\\w{1,400}\\s){1,20}!"] {
        let begun = Instant::now();
        let cancel = CancellationToken::new();
        let interrupt = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            cancel.cancel();
        };
        let search = bench.run("grep", json!({"pattern": pattern}), cancel.clone());
        let search = tokio::time::timeout(Duration::from_secs(20), search);
        let (ended, ()) = tokio::join!(search, interrupt);
        let ended = ended.expect("the search does not end");
        assert!(begun.elapsed() < Duration::from_secs(4), "{pattern}: {:?} {ended:?}", begun.elapsed());
    }
}
