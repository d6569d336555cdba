//! Projects as `compose.yaml` starts them. `MANYHANDS_AWAY_SECONDS`, `MANYHANDS_AWAY_CONVERSATIONS` and
//! `MANYHANDS_BESIDE_SECONDS` make it last longer.

mod beside;
mod outage;
mod quick_start;
mod work;

use testing::compose::Project;
use testing::may_skip;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn up(settings: &[(&str, &str)]) -> Option<Project> {
    if !Project::is_possible() {
        may_skip("compose", "the Docker client has no compose");
        return None;
    }
    let program = env!("CARGO_BIN_EXE_manyhands").as_ref();
    Some(Project::up(env!("CARGO_MANIFEST_DIR").as_ref(), program, settings))
}
