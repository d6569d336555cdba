//! Meta-profiles, as the document describes them: their values are checked by a form.

/// How an agent chooses between models: by classes of tasks, or by a prompt.
#[derive(utoipa::ToSchema)]
pub struct MetaProfile {
    /// The LLM profile that chooses.
    classifier_model: String,
    #[schema(required = false)]
    classes: Vec<MetaProfileClass>,
    /// Has `{{ instance_text }}` in it.
    prompt_template: Option<String>,
    model_table: Option<String>,
}

/// A kind of task, and the LLM profile for it.
#[derive(utoipa::ToSchema)]
pub struct MetaProfileClass {
    description: String,
    model: String,
}
