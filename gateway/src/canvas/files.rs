//! The files of an extension of the user interface that browsers load: its program and its icon.
//!
//! They come from the store and not from a sandbox, and only those that its manifest named when it was installed. Strangers have
//! written them, so a browser must neither guess what they are nor let them act as a page of this server.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::extensions::{CanvasFile, Extensions};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use types::extensions::ExtensionKind;

use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::etag;
use crate::extract::Path;
use crate::installing::check_name;

const SVG: HeaderValue = HeaderValue::from_static("image/svg+xml");
const CAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox");

/// The program of an extension of the user interface.
#[utoipa::path(get, path = "/api/canvas-extensions/installed/{extension_name}/bundle", tag = "Canvas Extensions",
    params(("extension_name" = String, Path)),
    responses((status = 200, description = "The file"), (status = 304, description = "The client has it"),
        (status = 404, description = "It is not installed")))]
pub async fn get_canvas_extension_bundle(
    State(extensions): State<Extensions>,
    caller: Caller,
    Path(name): Path<String>,
    asked: HeaderMap,
) -> ApiResult<Response> {
    serve(&extensions, &caller, &name, CanvasFile::Bundle, &asked).await
}

/// The icon of an extension of the user interface.
#[utoipa::path(get, path = "/api/canvas-extensions/installed/{extension_name}/icon", tag = "Canvas Extensions",
    params(("extension_name" = String, Path)),
    responses((status = 200, description = "The icon", content_type = "image/svg+xml", body = Vec<u8>),
        (status = 304, description = "The client has it"), (status = 404, description = "It has none")))]
pub async fn get_canvas_extension_icon(
    State(extensions): State<Extensions>,
    caller: Caller,
    Path(name): Path<String>,
    asked: HeaderMap,
) -> ApiResult<Response> {
    serve(&extensions, &caller, &name, CanvasFile::Icon, &asked).await
}

async fn serve(
    extensions: &Extensions,
    caller: &Caller,
    name: &str,
    file: CanvasFile,
    asked: &HeaderMap,
) -> ApiResult<Response> {
    check_name(ExtensionKind::Canvas, name)?;
    let part = match file {
        CanvasFile::Bundle => "bundle",
        CanvasFile::Icon => "icon",
    };
    let missing =
        || ApiError::new(StatusCode::NOT_FOUND, format!("Canvas extension '{name}' {part} not found"));
    let stored = extensions.canvas_file(&caller.tenant, name, file).await?.ok_or_else(missing)?;
    let tag = format!("\"{}-{part}\"", stored.version);
    let is_known = etag::is_known(asked, &tag) == Some(true);
    let mut headers = HeaderMap::new();
    headers.insert(header::ETAG, tag.try_into().map_err(ApiError::internal)?);
    // Asked for each time: it changes when the extension does.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, CAGE);
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let content_type = match file {
        CanvasFile::Icon => SVG,
        CanvasFile::Bundle => type_of(&stored.name)?,
    };
    headers.insert(header::CONTENT_TYPE, content_type);
    Ok((headers, Body::from(stored.content)).into_response())
}

fn type_of(name: &str) -> ApiResult<HeaderValue> {
    let mime = mime_guess::from_path(name).first_or_octet_stream();
    let charset = if mime.type_() == "text" { "; charset=utf-8" } else { "" };
    format!("{}{charset}", mime.essence_str()).try_into().map_err(ApiError::internal)
}
