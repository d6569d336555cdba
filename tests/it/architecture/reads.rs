//! How files are read that agents may have written: worker and tools take none of them whole, however long it is.

use super::paths::without_tests;
use super::sources;

const READERS: [&str; 2] = ["worker/src/", "crates/tools/src/"];

/// Read whatever there is, unless `take` comes before. What the kernel shows of a process is short.
const WHOLE: [&str; 3] = ["fs::read(", "read_to_string(", "read_to_end("];

#[test]
fn what_agents_may_have_written_is_read_with_a_bound() {
    let is_bounded = |line: &str| line.contains(".take(") || line.contains("\"/proc/");
    let mut found = Vec::new();
    for (path, text) in sources() {
        if !READERS.iter().any(|reader| path.starts_with(reader)) || path.contains("/tests") {
            continue;
        }
        let reads = without_tests(&text).lines().filter(|line| WHOLE.iter().any(|read| line.contains(read)));
        found.extend(reads.filter(|line| !is_bounded(line)).map(|line| format!("{path}: {}", line.trim())));
    }
    assert!(found.is_empty(), "use `tools::open`: {found:#?}");
}
