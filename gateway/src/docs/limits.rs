//! What texts in paths and queries look like, by the name of their parameter. Handlers take them as any text and check
//! them themselves, so nothing else could tell the document.

use types::extensions::ExtensionKind::{Canvas, Plugin, Skill};
use types::extensions::MOST_NAME;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::{KnownFormat, RefOr, Schema, SchemaFormat};

use crate::extract::{PROFILE_NAME, SECRET_NAME};
use crate::git::SHA;
use crate::installing::name_in_path;

/// Paths that no operating system has contain a NUL byte.
const ABSOLUTE: &str = r"^/[^\u0000]*$";
const ANY_PATH: &str = r"^[^\u0000]*$";

pub(super) fn describe(path: &str, parameter: &mut Parameter) {
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else { return };
    let name = parameter.name.as_str();
    if name.starts_with("timestamp__") {
        schema.format = Some(SchemaFormat::KnownFormat(KnownFormat::DateTime));
    }
    let pattern = match parameter.parameter_in {
        ParameterIn::Path => in_path(path, name),
        ParameterIn::Query => in_query(path, name),
        _ => None,
    };
    if let Some(pattern) = pattern {
        schema.pattern = Some(pattern.to_owned());
    }
    if [Skill, Plugin, Canvas].map(name_in_path).iter().any(|(parameter, _)| *parameter == name) {
        schema.max_length = Some(MOST_NAME);
    }
}

fn in_query(path: &str, name: &str) -> Option<&'static str> {
    let is_below = |resource: &str| name == "path" && path.contains(resource);
    (is_below("/file/").then_some(ABSOLUTE)).or(is_below("/git/").then_some(ANY_PATH))
}

fn in_path(path: &str, name: &str) -> Option<&'static str> {
    // To activate an agent profile takes its id.
    let is_profile = path.contains("profiles/{name}") && path != "/api/agent-profiles/{name}/activate";
    match name {
        "name" if path.contains("/secrets/{name}") => Some(SECRET_NAME),
        "name" => is_profile.then_some(PROFILE_NAME),
        "sha" => Some(SHA),
        _ => {
            let known = [Skill, Plugin, Canvas].map(name_in_path);
            known.into_iter().find_map(|(parameter, pattern)| (parameter == name).then_some(pattern))
        }
    }
}
