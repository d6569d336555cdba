//! Meta-profiles, as the document describes them: by their form.

/// How an agent chooses between models: by classes of tasks, or by a prompt, which then has `{{ instance_text }}` in it.
#[derive(utoipa::ToSchema)]
pub struct MetaProfile;
