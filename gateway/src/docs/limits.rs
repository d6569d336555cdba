//! What texts in paths and queries look like, by the name of their parameter. Handlers take them as any text and check
//! them themselves, so nothing else could tell the document.

use types::extensions::ExtensionKind::{Canvas, Plugin, Skill};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::{KnownFormat, RefOr, Schema, SchemaFormat};

use crate::extract::PROFILE_NAME;
use crate::git::SHA;
use crate::installing::name_in_path;

pub(super) fn describe(path: &str, parameter: &mut Parameter) {
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else { return };
    let name = parameter.name.as_str();
    if name.starts_with("timestamp__") {
        schema.format = Some(SchemaFormat::KnownFormat(KnownFormat::DateTime));
    }
    if parameter.parameter_in == ParameterIn::Path
        && let Some(pattern) = pattern(path, name)
    {
        schema.pattern = Some(pattern.to_owned());
    }
}

fn pattern(path: &str, name: &str) -> Option<&'static str> {
    // To activate an agent profile takes its id.
    let is_profile = path.contains("profiles/{name}") && path != "/api/agent-profiles/{name}/activate";
    match name {
        "name" => is_profile.then_some(PROFILE_NAME),
        "sha" => Some(SHA),
        _ => {
            let known = [Skill, Plugin, Canvas].map(name_in_path);
            known.into_iter().find_map(|(parameter, pattern)| (parameter == name).then_some(pattern))
        }
    }
}
