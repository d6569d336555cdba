//! What a user gets who gives no values, as a file that a change can be read in. `MANYHANDS_RENEW=1 ./test chart::` writes it anew.

use super::Tools;

const FILE: &str = "tests/it/chart/default.yaml";

#[test]
fn the_default_rendering_is_the_one_that_was_looked_at() {
    let Some(tools) = Tools::find() else { return };
    let rendered = tools.text("default", &[]);
    renewed_or_same(FILE, &rendered);
}

/// # Panics
/// Where the file is another one, and is not to be renewed.
pub fn renewed_or_same(path: &str, wanted: &str) {
    if std::env::var("MANYHANDS_RENEW").is_ok_and(|value| value == "1") {
        std::fs::write(path, wanted).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let differs = kept.lines().zip(wanted.lines()).position(|(kept, wanted)| kept != wanted);
    let at = differs.unwrap_or_else(|| kept.lines().count().min(wanted.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("(its end)").to_owned();
    assert!(
        kept == wanted,
        "{path} line {}: {:?} is {:?} now; MANYHANDS_RENEW=1 writes it anew",
        at + 1,
        line(&kept),
        line(wanted)
    );
}
