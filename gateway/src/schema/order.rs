//! Words that queries choose from, as the document describes them: which of them is given is looked up by hand, for the peer's words
//! about others.

#[derive(utoipa::ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventSortOrder {
    Timestamp,
    TimestampDesc,
}

#[derive(utoipa::ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConversationSortOrder {
    CreatedAt,
    UpdatedAt,
    CreatedAtDesc,
    UpdatedAtDesc,
}

/// Of `github` alone repositories are listed.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum GitProvider {
    Github,
    Gitlab,
    Bitbucket,
    AzureDevops,
}
