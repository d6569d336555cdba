//! Documents list what there is: README the tools, the page of settings nothing but what is read.

use std::collections::BTreeSet;

use tools::Catalogue;

use super::{paths, sources};

#[test]
fn the_readme_names_the_tools_there_are() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let (_, named) = readme.split_once("with the tools ").expect("a list of tools");
    let (named, _) = named.split_once(", on").expect("its end");
    let named: BTreeSet<&str> = named.split('`').skip(1).step_by(2).collect();
    let catalogue = Catalogue::standard();
    assert_eq!(named, catalogue.entries().iter().map(|tool| tool.name).collect());
}

#[test]
fn every_setting_of_the_page_is_read() {
    let page = std::fs::read_to_string("docs/SETTINGS.md").unwrap();
    let names = page.lines().filter_map(|line| line.strip_prefix("| `OH_")?.split('`').next());
    let fields: Vec<String> = names.map(str::to_lowercase).collect();
    assert!(!fields.is_empty());
    let readers = sources().into_iter().filter(|(path, _)| {
        path.starts_with("src/") && path != "src/settings/table.rs" && path != "src/settings/page.rs"
    });
    let code: Vec<String> = readers.map(|(_, text)| paths::without_tests(&text).to_owned()).collect();
    let is_read = |field: &String| code.iter().any(|text| text.contains(&format!("\"{field}\"")));
    let unread: Vec<String> = fields.into_iter().filter(|field| !is_read(field)).collect();
    assert!(unread.is_empty(), "settings that nothing reads: {unread:?}");
}

#[test]
fn every_fault_of_the_peer_has_tests_that_are_there() {
    let page = std::fs::read_to_string("docs/peer.md").unwrap();
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| A") || line.starts_with("| B") || line.starts_with("| C"));
    let mut rows: Vec<(&str, &str)> = rows
        .filter_map(|row| {
            let mut cells = row.split('|').skip(1);
            Some((cells.next()?.trim(), cells.nth(1)?))
        })
        .collect();
    // Nothing here uses a browser that it could happen with.
    rows.retain(|(fault, _)| *fault != "C13");
    assert_eq!(rows.len(), 17 + 30 + 12);
    let code: Vec<String> = sources().into_iter().map(|(_, text)| text).collect();
    let is_there = |test: &str| code.iter().any(|text| text.contains(&format!("fn {test}(")));
    for (fault, tests) in rows {
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{fault} has no test");
        let missing: Vec<_> = tests.into_iter().filter(|test| !is_there(test)).collect();
        assert!(missing.is_empty(), "{fault}: there is no test {missing:?}");
    }
}
