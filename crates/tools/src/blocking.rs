//! Work that blocks, on a thread that may.

/// # Errors
/// The work came to no end, in words for the model.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| format!("the tool failed: {error}"))
}
