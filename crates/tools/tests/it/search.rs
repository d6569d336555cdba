//! What `glob` and `grep` find, in real trees.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::bench::{Bench, error, text};

fn names<'a>(bench: &Bench, observation: &'a Value, field: &str) -> Vec<&'a str> {
    let root = format!("{}/", bench.root.display());
    let found = observation[field].as_array().unwrap().iter();
    found.map(|path| path.as_str().unwrap().strip_prefix(&root).unwrap()).collect()
}

/// Sorted: not all of them have times of their own.
async fn glob(bench: &Bench, pattern: &str) -> Vec<String> {
    let seen = bench.call("glob", json!({"pattern": pattern})).await;
    assert_eq!(seen["is_error"], false, "{seen}");
    let mut names: Vec<String> = names(bench, &seen, "files").into_iter().map(str::to_owned).collect();
    names.sort();
    names
}

async fn grep(bench: &Bench, arguments: Value) -> Vec<String> {
    let seen = bench.call("grep", arguments).await;
    assert_eq!(seen["is_error"], false, "{seen}");
    let mut names: Vec<String> = names(bench, &seen, "matches").into_iter().map(str::to_owned).collect();
    names.sort();
    names
}

fn age(bench: &Bench, name: &str, seconds: u64) {
    let then = SystemTime::now() - Duration::from_secs(seconds);
    File::options().write(true).open(bench.path(name)).unwrap().set_modified(then).unwrap();
}

#[tokio::test]
async fn files_are_found_by_their_names_the_newest_first() {
    let bench = Bench::new();
    for (name, seconds) in [("a.py", 30), ("sub/b.py", 10), ("sub/deep/c.py", 20), ("d.txt", 5)] {
        bench.write(name, "");
        age(&bench, name, seconds);
    }
    let seen = bench.call("glob", json!({"pattern": "*.py"})).await;
    let root = bench.root.display();
    let told = format!(
        "Found 3 file(s) matching pattern '*.py' in '{root}':\n{root}/sub/b.py\n{root}/sub/deep/c.py\n{root}/a.py"
    );
    let files = ["sub/b.py", "sub/deep/c.py", "a.py"].map(|name| bench.path(name));
    let expected = json!({
        "content": [{"type": "text", "cache_prompt": false, "text": told}],
        "is_error": false,
        "files": files,
        "pattern": "*.py",
        "search_path": bench.root,
        "truncated": false,
        "kind": "GlobObservation",
    });
    assert_eq!(seen, expected);

    let seen = bench.call("glob", json!({"pattern": "*.rs"})).await;
    assert_eq!(text(&seen), format!("No files found matching pattern '*.rs' in directory '{root}'"));
    let seen = bench.call("glob", json!({"pattern": "*", "path": "none"})).await;
    assert_eq!(error(&seen), format!("Search path '{root}/none' is not a valid directory"));
    assert_eq!((&seen["files"], &seen["pattern"]), (&json!([]), &json!("*")));
}

#[tokio::test]
async fn patterns_of_names_mean_what_they_say() {
    let bench = Bench::new();
    for name in ["a.ts", "src/b.ts", "src/c.tsx", "src/x/d.ts", "lib/src/e.ts", "f[1].ts"] {
        bench.write(name, "");
    }
    for (pattern, found) in [
        ("src/*.ts", vec!["src/b.ts"]),
        ("./src/*.ts", vec!["src/b.ts"]),
        ("src/**/*.ts", vec!["src/b.ts", "src/x/d.ts"]),
        ("**/src/*.ts", vec!["lib/src/e.ts", "src/b.ts"]),
        ("src/*.{ts,tsx}", vec!["src/b.ts", "src/c.tsx"]),
        ("?.ts", vec!["a.ts", "lib/src/e.ts", "src/b.ts", "src/x/d.ts"]),
        ("f\\[1\\].ts", vec!["f[1].ts"]),
        ("!*.ts", vec!["src/c.tsx"]),
        ("", vec!["a.ts", "f[1].ts", "lib/src/e.ts", "src/b.ts", "src/c.tsx", "src/x/d.ts"]),
    ] {
        let found: Vec<String> = found.into_iter().map(str::to_owned).collect();
        assert_eq!(glob(&bench, pattern).await, found, "{pattern}");
    }
    let seen = bench.call("glob", json!({"pattern": "a[.ts"})).await;
    assert!(error(&seen).starts_with("Invalid glob pattern 'a[.ts': "), "{seen}");
}

#[tokio::test]
async fn an_absolute_pattern_says_itself_where_to_search() {
    let bench = Bench::new();
    for name in ["a.ts", "src/b.ts", "src/x/c.ts"] {
        bench.write(name, "");
    }
    let root = bench.root.to_str().unwrap();
    for (pattern, path, found, searched) in [
        (format!("{root}/src/**/*.ts"), None, vec!["src/b.ts", "src/x/c.ts"], "/src"),
        (format!("{root}/src"), None, vec!["src/b.ts", "src/x/c.ts"], "/src"),
        (format!("{root}/src/b.ts"), None, vec!["src/b.ts"], "/src"),
        (format!("{root}/src/*.ts"), Some(root), vec!["src/b.ts"], ""),
        ("*.ts".to_owned(), Some("src/x"), vec!["src/x/c.ts"], "/src/x"),
    ] {
        let seen = bench.call("glob", json!({"pattern": pattern, "path": path})).await;
        let mut files = names(&bench, &seen, "files");
        files.sort_unstable();
        assert_eq!(files, found, "{pattern}");
        assert_eq!(seen["search_path"], format!("{root}{searched}"), "{pattern}");
        assert_eq!(seen["pattern"], pattern);
    }
}

#[tokio::test]
async fn hidden_folders_and_ignored_files_are_left_out() {
    let bench = Bench::new();
    for name in [
        ".env.py",
        ".venv/a.py",
        "b.py",
        "build/c.py",
        "d.log.py",
        "keep.log.py",
        "sub/e.py",
        "sub/own.py",
        ".github/f.py",
    ] {
        bench.write(name, "needle");
    }
    let without = glob(&bench, "*.py").await;
    assert_eq!(without.len(), 7, "without a repository .gitignore says nothing: {without:?}");
    bench.write(".gitignore", "build/\n*.log.py\n!keep.log.py\n[\n");
    bench.write("sub/.gitignore", "/own.py\n");
    assert_eq!(glob(&bench, "*.py").await.len(), 7);
    fs::create_dir_all(bench.path(".git/info")).unwrap();
    let kept = [".env.py", "b.py", "keep.log.py", "sub/e.py"];
    assert_eq!(glob(&bench, "*.py").await, kept);
    assert_eq!(grep(&bench, json!({"pattern": "needle"})).await, kept[1..], "hidden files, too");
    assert_eq!(grep(&bench, json!({"pattern": "needle", "include": "*.py"})).await, kept);
    assert_eq!(glob(&bench, ".github/*.py").await, [".github/f.py"], "what is named is meant");

    bench.write(".git/info/exclude", "b.py\n");
    bench.write(".ignore", "keep.log.py\n");
    assert_eq!(glob(&bench, "*.py").await, [".env.py", "sub/e.py"]);
    // A repository in it is ruled by itself.
    bench.write("inner/d.log.py", "");
    assert_eq!(glob(&bench, "inner/*").await, Vec::<String>::new());
    fs::create_dir(bench.path("inner/.git")).unwrap();
    assert_eq!(glob(&bench, "inner/*").await, ["inner/d.log.py"]);
    let seen = bench.call("glob", json!({"pattern": "*.py", "path": "build"})).await;
    assert_eq!(names(&bench, &seen, "files"), ["build/c.py"], "what is asked for is searched");
}

#[tokio::test]
async fn a_hundred_files_are_all_and_of_more_it_is_said() {
    let bench = Bench::new();
    for number in 0..100 {
        bench.write(&format!("{number}.txt"), "needle");
    }
    for (tool, field) in [("glob", "files"), ("grep", "matches")] {
        let pattern = if tool == "glob" { "*.txt" } else { "needle" };
        let seen = bench.call(tool, json!({"pattern": pattern})).await;
        assert_eq!((&seen["truncated"], seen[field].as_array().unwrap().len()), (&json!(false), 100));
    }
    bench.write("old.txt", "needle");
    age(&bench, "old.txt", 1_000);
    for (tool, field) in [("glob", "files"), ("grep", "matches")] {
        let pattern = if tool == "glob" { "*.txt" } else { "needle" };
        let seen = bench.call(tool, json!({"pattern": pattern})).await;
        assert_eq!((&seen["truncated"], seen[field].as_array().unwrap().len()), (&json!(true), 100));
        assert!(!seen[field].as_array().unwrap().contains(&json!(bench.path("old.txt"))), "the oldest goes");
        assert!(text(&seen).ends_with("Consider using a more specific pattern.]"), "{seen}");
    }
}

#[tokio::test]
async fn files_are_found_by_what_stands_in_them_whatever_the_case() {
    let bench = Bench::new();
    for (name, content, seconds) in [
        ("a.rs", "fn Main() {\n", 30),
        ("sub/b.rs", "// main\n", 10),
        ("c.txt", "main", 20),
        ("d.rs", "m\nain", 5),
    ] {
        bench.write(name, content);
        age(&bench, name, seconds);
    }
    let root = bench.root.display();
    let seen = bench.call("grep", json!({"pattern": "MAIN", "include": "*.rs"})).await;
    let told = format!(
        "Found 2 file(s) containing pattern 'MAIN' in '{root}' (filtered by '*.rs'):\n{root}/sub/b.rs\n{root}/a.rs"
    );
    let expected = json!({
        "content": [{"type": "text", "cache_prompt": false, "text": told}],
        "is_error": false,
        "matches": [bench.path("sub/b.rs"), bench.path("a.rs")],
        "pattern": "MAIN",
        "search_path": bench.root,
        "include_pattern": "*.rs",
        "truncated": false,
        "kind": "GrepObservation",
    });
    assert_eq!(seen, expected);
    assert_eq!(grep(&bench, json!({"pattern": "main(?!\\()"})).await, ["c.txt", "sub/b.rs"]);
    assert_eq!(grep(&bench, json!({"pattern": "main", "path": "sub"})).await, ["sub/b.rs"]);
    assert_eq!(grep(&bench, json!({"pattern": "main", "include": "*.{txt,md}"})).await, ["c.txt"]);
    assert_eq!(grep(&bench, json!({"pattern": "main", "include": "sub/*.rs"})).await, ["sub/b.rs"]);

    let seen = bench.call("grep", json!({"pattern": "nowhere", "include": "*.rs"})).await;
    let told =
        format!("No files found containing pattern 'nowhere' in directory '{root}' (filtered by '*.rs')");
    assert_eq!(text(&seen), told);
    let seen = bench.call("grep", json!({"pattern": "(main"})).await;
    assert!(error(&seen).starts_with("Invalid regex pattern: "), "{seen}");
    assert_eq!((&seen["matches"], seen.get("include_pattern")), (&json!([]), None));
    let seen = bench.call("grep", json!({"pattern": "x", "path": "c.txt"})).await;
    assert!(error(&seen).ends_with("c.txt' is not a valid directory"), "{seen}");
}

/// Pipes keep whoever opens them waiting, also as the files of rules.
#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_a_tree_keeps_no_search_and_leads_it_nowhere() {
    let bench = Bench::new();
    bench.write("found.txt", "needle");
    bench.write("binary", b"needle\0\xff");
    bench.write("sub/two\nlines.txt", "needle");
    fs::write(bench.root.join(std::ffi::OsStr::from_bytes(b"\xff.txt")), "needle").unwrap();
    fs::create_dir(bench.path(".git")).unwrap();
    let outside = bench.root.with_file_name("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret.txt"), "needle").unwrap();
    symlink(&outside, bench.path("link")).unwrap();
    symlink(outside.join("secret.txt"), bench.path("link.txt")).unwrap();
    symlink(&bench.root, bench.path("circle")).unwrap();
    fs::create_dir(bench.path("closed")).unwrap();
    for name in ["pipe.txt", ".gitignore", ".ignore", "sub/.gitignore"] {
        let made = std::process::Command::new("mkfifo").arg(bench.path(name)).status().unwrap();
        assert!(made.success());
    }
    let searches = async {
        let mut files = bench.call("glob", json!({"pattern": "*.txt"})).await;
        let matches = bench.call("grep", json!({"pattern": "needle"})).await;
        assert!(text(&files).contains("sub/two\\nlines.txt"), "{files}");
        let names = |found: &Value| -> Vec<String> {
            let mut names: Vec<String> =
                found.as_array().unwrap().iter().map(|path| path.as_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&files["files"].take()), names(&matches["matches"]));
        assert_eq!(matches["matches"].as_array().unwrap().len(), 3, "{matches}");
    };
    tokio::time::timeout(Duration::from_secs(20), searches).await.expect("a search waits for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_files_are_searched_in_a_few_seconds_and_a_search_that_is_cancelled_ends() {
    let bench = Bench::new();
    for folder in 0..100 {
        fs::create_dir_all(bench.path(&format!("{folder}"))).unwrap();
        for file in 0..100 {
            fs::write(bench.path(&format!("{folder}/{file}.txt")), format!("{folder} {file}\n")).unwrap();
        }
    }
    let begun = Instant::now();
    let seen = bench.call("glob", json!({"pattern": "99.txt"})).await;
    assert_eq!(seen["files"].as_array().unwrap().len(), 100);
    assert_eq!(grep(&bench, json!({"pattern": "^57 57$"})).await, ["57/57.txt"]);
    let took = begun.elapsed();
    println!("10,000 files twice in {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");

    let cancel = CancellationToken::new();
    cancel.cancel();
    let ended = bench.run("grep", json!({"pattern": "x"}), cancel).await;
    assert_eq!(ended.unwrap_err(), "interrupted");
}

#[tokio::test]
async fn a_file_of_ten_megabytes_is_searched_to_its_end() {
    let bench = Bench::new();
    let mut content = "some words on a line\n".repeat(500_000);
    content.push_str("the needle");
    bench.write("large.txt", &content);
    assert_eq!(grep(&bench, json!({"pattern": "the needle$"})).await, ["large.txt"]);
    assert_eq!(grep(&bench, json!({"pattern": "no such needle"})).await, Vec::<String>::new());
}
