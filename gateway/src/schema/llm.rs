//! Models, as the document describes them: a model is checked by its form, and what there is to choose from is kept as bytes.

use std::collections::BTreeMap;

/// A model, and how it is called.
#[derive(utoipa::ToSchema)]
pub struct Llm;

#[derive(utoipa::ToSchema)]
pub struct ProvidersResponse {
    providers: Vec<String>,
}

#[derive(utoipa::ToSchema)]
pub struct ModelsResponse {
    models: Vec<String>,
}

/// By provider.
#[derive(utoipa::ToSchema)]
pub struct VerifiedModelsResponse {
    models: BTreeMap<String, Vec<String>>,
}
