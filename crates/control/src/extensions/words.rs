//! What clients are told of extensions, in the peer's words, which its user interface shows as they are.

use types::calls::{NotFetched, WhyNotFetched};
use types::extensions::ExtensionKind;

use crate::Refusal;

const TOO_LARGE: &str = "An extension may have at most 2,000 files, and 64 MiB of them, which may be 16 MiB when they are packed.";

pub(super) const TOO_MANY: &str = "At most 200 extensions of a kind can be installed.";

pub(super) const BAD_MANIFEST: &str = "Invalid canvas extension. Ensure the manifest is well-formed.";

/// What one of this kind is called at the beginning of a sentence.
#[must_use]
pub fn noun(kind: ExtensionKind) -> &'static str {
    match kind {
        ExtensionKind::Skill => "Skill",
        ExtensionKind::Plugin => "Plugin",
        ExtensionKind::Canvas => "Canvas extension",
    }
}

pub(super) fn missing(kind: ExtensionKind, name: &str) -> Refusal {
    Refusal::Missing(format!("{} '{name}' is not installed", noun(kind)))
}

pub(super) fn taken(kind: ExtensionKind) -> Refusal {
    Refusal::Taken(format!("{} already installed. Use force=true to overwrite.", noun(kind)))
}

/// Of something that is to be installed.
pub(super) fn not_installed(kind: ExtensionKind, not: NotFetched) -> Refusal {
    match (kind, not.why) {
        (_, WhyNotFetched::TooLarge) => Refusal::TooLarge(TOO_LARGE),
        (ExtensionKind::Skill, WhyNotFetched::Invalid | WhyNotFetched::NoManifest) => {
            Refusal::Unfit("Invalid skill. Ensure the source contains a valid SKILL.md.".to_owned())
        }
        (ExtensionKind::Plugin, WhyNotFetched::Invalid | WhyNotFetched::NoManifest) => {
            Refusal::Unfit("Invalid plugin. Ensure it has a valid kebab-case name.".to_owned())
        }
        (ExtensionKind::Canvas, WhyNotFetched::NoManifest) => Refusal::Unfit(
            "No canvas-extension.json found at the resolved location. Source plus Path must point at the extension's own \
             directory, not the repository root."
                .to_owned(),
        ),
        (ExtensionKind::Canvas, WhyNotFetched::Invalid) => Refusal::Unfit(BAD_MANIFEST.to_owned()),
        (ExtensionKind::Canvas, _) => {
            Refusal::Bad(format!("Could not read canvas extension source: {}", not.says))
        }
        (ExtensionKind::Skill | ExtensionKind::Plugin, _) => {
            let noun = noun(kind).to_lowercase();
            Refusal::Bad(format!("Failed to fetch {noun} source. Check that the source is valid."))
        }
    }
}

/// Of something that is installed already.
pub(super) fn not_refreshed(kind: ExtensionKind, name: &str, not: &NotFetched) -> Refusal {
    let noun = noun(kind).to_lowercase();
    match not.why {
        WhyNotFetched::TooLarge => Refusal::TooLarge(TOO_LARGE),
        WhyNotFetched::Invalid | WhyNotFetched::NoManifest => Refusal::Unfit(format!(
            "The source of {noun} '{name}' no longer holds a valid {noun}. The installed copy was kept."
        )),
        _ => Refusal::Bad(format!(
            "Failed to fetch the source of {noun} '{name}'. The installed copy was kept."
        )),
    }
}
