//! The promises of `read_file`, `write_file`, `edit` and `list_directory`, kept on real files.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::{Value, json};
use types::resources::Resource;

use crate::bench::{Bench, error, text};

async fn edit(bench: &Bench, name: &str, old: &str, new: &str) -> Value {
    bench.call("edit", json!({"file_path": name, "old_string": old, "new_string": new})).await
}

#[tokio::test]
async fn a_file_is_read_with_the_numbers_of_its_lines() {
    let bench = Bench::new();
    let path = bench.write("a.txt", "one\n\ttwo\r\nthree");
    let seen = bench.call("read_file", json!({"file_path": "a.txt"})).await;
    let content = "     1  one\n     2  \ttwo\n     3  three\n";
    let expected = json!({
        "content": [{"type": "text", "cache_prompt": false, "text": format!("Read file: {}\n\n{content}", path.display())}],
        "is_error": false,
        "file_content": content,
        "is_truncated": false,
        "total_lines": 3,
        "file_path": path,
        "kind": "ReadFileObservation",
    });
    assert_eq!(seen, expected);
    let seen = bench.call("read_file", json!({"file_path": path, "offset": 1, "limit": 1})).await;
    let heading = format!(
        "Read file: {0} (showing lines 2-2 of 3) To read more, use: read_file(file_path='{0}', offset=2, limit=1)",
        path.display()
    );
    assert_eq!(text(&seen), format!("{heading}\n\n     2  \ttwo\n"));
    assert_eq!((&seen["is_truncated"], &seen["lines_shown"]), (&json!(true), &json!([2, 2])));

    bench.write("empty", "");
    assert!(
        text(&bench.call("read_file", json!({"file_path": "empty"})).await).ends_with("(it is empty)\n\n")
    );
}

#[tokio::test]
async fn all_of_a_long_file_can_be_read_in_the_parts_that_the_answers_name() {
    let bench = Bench::new();
    let lines: Vec<String> = (1..=3_000).map(|line| format!("{line} {}", "x".repeat(line % 200))).collect();
    bench.write("long.txt", lines.join("\n"));
    bench.write("wide.txt", format!("{}\nend", "y".repeat(1_000_000)));
    let (mut offset, mut read, mut parts) = (0, Vec::new(), 0);
    loop {
        let seen = bench.call("read_file", json!({"file_path": "long.txt", "offset": offset})).await;
        assert!(text(&seen).chars().count() < 50_000, "it would be cut before it is shown");
        read.extend(seen["file_content"].as_str().unwrap().lines().map(str::to_owned));
        parts += 1;
        if seen["is_truncated"] == false {
            break;
        }
        offset = seen["lines_shown"][1].as_u64().unwrap();
        assert!(text(&seen).contains(&format!("offset={offset}")), "{seen}");
    }
    assert_eq!(read.len(), lines.len());
    assert!(
        read.iter().zip(&lines).all(|(read, line)| read.ends_with(&format!("  {line}"))),
        "{parts} parts"
    );
    let seen = bench.call("read_file", json!({"file_path": "wide.txt"})).await;
    assert!(text(&seen).contains("more characters in this line]\n     2  end"), "{}", text(&seen).len());
}

#[tokio::test]
async fn what_cannot_be_read_is_told() {
    let bench = Bench::new();
    bench.write("binary", b"\x7fELF\0");
    bench.write("short", "one\n");
    bench.write("large", vec![b'x'; 11 * 1024 * 1024]);
    let made = std::process::Command::new("mkfifo").arg(bench.path("pipe")).status().unwrap();
    assert!(made.success());
    let root = bench.root.display();
    for (arguments, told) in [
        (json!({"file_path": "none"}), format!("Error: File not found: {root}/none")),
        (json!({"file_path": "."}), format!("Error: Path is a directory, not a file: {root}")),
        (
            json!({"file_path": "short", "offset": 1}),
            "Error: Offset 1 is beyond file length (1 lines)".to_owned(),
        ),
        (
            json!({"file_path": "binary"}),
            format!("Error: File validation failed for {root}/binary: File appears"),
        ),
        (
            json!({"file_path": "large"}),
            format!("Error: File validation failed for {root}/large: File is too large"),
        ),
        (
            json!({"file_path": "pipe"}),
            format!("Error: File validation failed for {root}/pipe: It is not a regular"),
        ),
    ] {
        let seen = bench.call("read_file", arguments.clone()).await;
        assert!(error(&seen).starts_with(&told), "{seen}");
        assert!(seen["file_path"].as_str().unwrap().starts_with(bench.root.to_str().unwrap()), "{seen}");
    }
}

#[tokio::test]
async fn a_file_is_written_whole_and_what_it_held_can_be_had_back() {
    let mut bench = Bench::new();
    let path = bench.path("new/deep/a.txt");
    let seen = bench.call("write_file", json!({"file_path": "new/deep/a.txt", "content": "one\r\n"})).await;
    let expected = json!({
        "content": [{"type": "text", "cache_prompt": false, "text": format!("Created file: {}", path.display())}],
        "is_error": false,
        "file_path": path,
        "is_new_file": true,
        "new_content": "one\r\n",
        "kind": "WriteFileObservation",
    });
    assert_eq!(seen, expected);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    let seen = bench.call("write_file", json!({"file_path": path, "content": "two"})).await;
    assert_eq!(text(&seen), format!("Updated file: {}", path.display()));
    assert_eq!((&seen["is_new_file"], &seen["old_content"]), (&json!(false), &json!("one\n")));
    assert_eq!(bench.read("new/deep/a.txt"), "two");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o750);

    bench.reopen();
    let seen = bench.call("file_editor", json!({"command": "undo_edit", "path": path})).await;
    assert_eq!(seen["is_error"], false, "{seen}");
    assert_eq!(bench.read("new/deep/a.txt"), "one\r\n");
}

#[tokio::test]
async fn only_files_are_written_over() {
    let bench = Bench::new();
    bench.write("folder/file", "kept");
    let made = std::process::Command::new("mkfifo").arg(bench.path("pipe")).status().unwrap();
    assert!(made.success());
    symlink(bench.path("nowhere"), bench.path("dangling")).unwrap();
    for name in ["folder", "pipe", "dangling", "folder/file/below", "/dev/null"] {
        let seen = bench.call("write_file", json!({"file_path": name, "content": "x"})).await;
        assert!(error(&seen).starts_with("Error: "), "{name}: {seen}");
        let seen = bench.call("edit", json!({"file_path": name, "old_string": "", "new_string": "x"})).await;
        assert!(error(&seen).starts_with("Error: "), "{name}: {seen}");
        let seen = edit(&bench, name, "a", "b").await;
        assert!(error(&seen).starts_with("Error: "), "{name}: {seen}");
    }
    assert!(!bench.path("nowhere").exists());
    assert_eq!(bench.read("folder/file"), "kept");
    // What is no text can be replaced by one.
    bench.write("binary", b"\0\xff");
    let seen = bench.call("write_file", json!({"file_path": "binary", "content": "text"})).await;
    assert_eq!((seen["is_error"].clone(), seen.get("old_content")), (json!(false), None));
    assert_eq!(bench.read("binary"), "text");
}

#[tokio::test]
async fn a_text_is_replaced_as_often_as_it_is_expected_to_be_there() {
    let bench = Bench::new();
    let path = bench.write("a.txt", "x y x\r\nx\r\n");
    let shown = path.display();
    let replace = async |old: &str, new: &str, expected: u64| {
        let arguments = json!({"file_path": "a.txt", "old_string": old, "new_string": new, "expected_replacements": expected});
        bench.call("edit", arguments).await
    };
    assert_eq!(
        error(&replace("x", "z", 1).await),
        format!("Error: Expected 1 occurrence but found 3 in {shown}.")
    );
    assert_eq!(
        error(&replace("x", "z", 2).await),
        format!("Error: Expected 2 occurrences but found 3 in {shown}.")
    );
    assert!(
        error(&replace("q", "z", 1).await).starts_with("Error: Could not find the string to replace. 0 occ")
    );
    assert!(error(&replace("x", "x", 3).await).contains("old_string and new_string are identical"));
    assert_eq!(bench.read("a.txt"), "x y x\r\nx\r\n");

    let seen = replace("x", "z", 3).await;
    let expected = json!({
        "content": [{"type": "text", "cache_prompt": false, "text": format!("Successfully edited {shown} (3 replacement(s))")}],
        "is_error": false,
        "file_path": path,
        "is_new_file": false,
        "old_content": "x y x\nx\n",
        "new_content": "z y z\nz\n",
        "replacements_made": 3,
        "kind": "EditObservation",
    });
    assert_eq!(seen, expected);
    edit(&bench, "a.txt", "z\nz\n", "1\n2\n").await;
    assert_eq!(bench.read("a.txt"), "z y 1\r\n2\r\n", "lines end as they did");
    let seen = bench.call("file_editor", json!({"command": "undo_edit", "path": path})).await;
    assert_eq!(seen["is_error"], false, "{seen}");
    assert_eq!(bench.read("a.txt"), "z y z\r\nz\r\n");
}

#[tokio::test]
async fn an_edit_of_nothing_makes_a_file_that_is_not_there() {
    let bench = Bench::new();
    let seen = edit(&bench, "new/a.txt", "", "one").await;
    assert_eq!(text(&seen), format!("Created new file: {}", bench.path("new/a.txt").display()));
    assert_eq!((&seen["is_new_file"], &seen["replacements_made"]), (&json!(true), &json!(1)));
    assert!(
        error(&edit(&bench, "new/a.txt", "", "two").await).contains("Cannot create file that already exists")
    );
    assert!(error(&edit(&bench, "none", "a", "b").await).contains("To create a new file, use old_string=''"));
    assert_eq!(bench.read("new/a.txt"), "one");
}

#[tokio::test]
async fn a_folder_is_listed_to_the_model_as_well() {
    let bench = Bench::new();
    bench.write("b.txt", "four");
    bench.write("sub/c.txt", "");
    bench.write("sub/deep/d.txt", "");
    bench.write(".hidden", "");
    bench.write("new\nline", "");
    symlink(bench.path("none"), bench.path("z")).unwrap();
    symlink(&bench.root, bench.path("up")).unwrap();
    let root = bench.root.display();
    let seen = bench.call("list_directory", json!({})).await;
    let length = bench.path("none").as_os_str().len();
    assert_eq!(
        text(&seen),
        format!(
            "Listed directory: {root} (6 entries)\nsub/\nup/\n.hidden (0 bytes)\nb.txt (4 bytes)\nnew\\nline (0 bytes)\n\
             z ({length} bytes)"
        )
    );
    assert_eq!((&seen["dir_path"], &seen["total_count"]), (&json!(bench.root), &json!(6)));
    let entry = &seen["entries"][3];
    assert_eq!(
        (&entry["name"], &entry["path"], &entry["is_directory"], &entry["size"]),
        (&json!("b.txt"), &json!(bench.path("b.txt")), &json!(false), &json!(4))
    );
    assert!(entry["modified_time"].as_str().unwrap().starts_with("20"), "{entry}");
    let seen = bench.call("list_directory", json!({"dir_path": bench.root, "recursive": true})).await;
    let listed = text(&seen);
    assert!(listed.contains("\nsub/c.txt (0 bytes)") && listed.contains("\nsub/deep/"), "{listed}");
    assert!(!listed.contains("d.txt") && !listed.contains("up/b.txt"), "two levels, and no links: {listed}");

    for (path, told) in
        [("none", "Error: Directory not found: "), ("b.txt", "Error: Path is not a directory: ")]
    {
        assert_eq!(
            error(&bench.call("list_directory", json!({"dir_path": path})).await),
            format!("{told}{root}/{path}")
        );
    }
    for number in 0..600 {
        bench.write(&format!("many/{number}"), "");
    }
    let seen = bench.call("list_directory", json!({"dir_path": "many"})).await;
    assert!(text(&seen).contains("many (600 entries, truncated to 500)\n"), "{}", &text(&seen)[..200]);
    assert_eq!((seen["entries"].as_array().unwrap().len(), &seen["is_truncated"]), (500, &json!(true)));
}

#[tokio::test]
async fn calls_that_change_a_file_hold_it_and_those_that_read_hold_nothing() {
    let bench = Bench::new();
    let file = |name: &str| Resource::File(bench.path(name));
    let patch = "*** Begin Patch\n*** Add File: a\n+x\n*** Update File: b\n*** Move to: c\n*** End Patch";
    for (tool, arguments, held) in [
        ("write_file", json!({"file_path": "x/../a", "content": ""}), vec![file("a")]),
        (
            "edit",
            json!({"file_path": bench.path("a"), "old_string": "a", "new_string": "b"}),
            vec![file("a")],
        ),
        (
            "file_editor",
            json!({"command": "create", "path": bench.path("a"), "file_text": ""}),
            vec![file("a")],
        ),
        ("file_editor", json!({"command": "view", "path": bench.path("a")}), vec![]),
        ("planning_file_editor", json!({"command": "undo_edit", "path": bench.path("a")}), vec![file("a")]),
        ("apply_patch", json!({"patch": patch}), vec![file("a"), file("b"), file("c")]),
        ("apply_patch", json!({"patch": "no patch"}), vec![]),
        ("read_file", json!({"file_path": "a"}), vec![]),
        ("list_directory", json!({}), vec![]),
        ("glob", json!({"pattern": "*"}), vec![]),
        ("grep", json!({"pattern": "x"}), vec![]),
        ("terminal", json!({"command": "ls"}), vec![Resource::Tool("terminal".to_owned())]),
        ("task_tracker", json!({}), vec![Resource::Tool("task_tracker".to_owned())]),
    ] {
        assert_eq!(bench.action(tool, &arguments).resources, held, "{tool} {arguments}");
    }
}
