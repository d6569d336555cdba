//! What there is to choose from, as the document describes it: the answers are kept as bytes.

use std::collections::BTreeMap;

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
