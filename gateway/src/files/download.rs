//! A file to be saved.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use super::{serve, stat};
use crate::error::{ApiError, ApiResult};
use crate::extract::Query;
use crate::handles::Files;
use crate::scope::Target;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PathQuery {
    /// Absolute.
    pub path: String,
}

/// Sends a file, or a range of it.
#[utoipa::path(get, path = "/download", tag = "Files", params(PathQuery),
    responses((status = 200, description = "The file", content_type = "application/octet-stream"),
        (status = 206, description = "A range of it"), (status = 304, description = "The client has it"),
        (status = 400, description = "No absolute path of a file"), (status = 404, description = "No such file"),
        (status = 416, description = "The range is outside the file")))]
pub(super) async fn download_file_query(
    State(files): State<Files>,
    target: Target,
    Query(query): Query<PathQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    files.activity.touch();
    let found = stat(&files.workers, &target, &query.path).await?;
    if found.is_dir {
        return Err(ApiError::bad_request("Path is not a file"));
    }
    let kind = HeaderValue::from_static("application/octet-stream");
    let disposition = attachment(query.path.rsplit('/').next().unwrap_or_default());
    let mut response = serve(&files.workers, target, query.path, found, &headers, kind).await?;
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}

/// `Content-Disposition` for a download called `name`, as RFC 5987 has it where it needs more than ASCII.
pub(super) fn attachment(name: &str) -> HeaderValue {
    let encoded = percent_encoded(name);
    let value = match encoded == name {
        true => format!("attachment; filename=\"{name}\""),
        false => format!("attachment; filename*=utf-8''{encoded}"),
    };
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

/// Keeps letters, digits and `_.-~`; of the rest each byte becomes `%XX`.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_can_be_attached() {
        assert_eq!(attachment("a.txt"), "attachment; filename=\"a.txt\"");
        assert_eq!(attachment("é \".txt"), "attachment; filename*=utf-8''%C3%A9%20%22.txt");
    }
}
