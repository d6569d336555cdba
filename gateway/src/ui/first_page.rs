//! The first page with what it is to know, ahead of its own scripts.

use std::io::{self, Read};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use super::file::{COMMON, Found, content_type, off_the_runtime};
use crate::{etag, ticket};

/// Bytes of the page.
const MOST: u64 = 4 << 20;

/// To a server without keys; the interface sends one all the same.
const OPEN: &str = r#"window.__AGENT_CANVAS_SESSION_API_KEY__="none""#;

/// The interface reads the key when it begins, so it is waited for. Without one it asks for it.
const KEYED: &str = r##"(()=>{let key="";const found=/^#ticket=([0-9a-f]+)$/.exec(location.hash);if(found){history.replaceState(null,"",location.pathname+location.search);try{const call=new XMLHttpRequest();call.open("POST","PATH",false);call.setRequestHeader("Content-Type","application/json");call.send(JSON.stringify({ticket:found[1]}));if(call.status===200)key=JSON.parse(call.responseText).session_api_key}catch{}}if(key)window.__AGENT_CANVAS_SESSION_API_KEY__=key;else window.__AGENT_CANVAS_AUTH_REQUIRED__=true})()"##;

pub struct FirstPage {
    script: String,
    /// A browser that has the page with another script does not have this one.
    tag: &'static str,
}

impl FirstPage {
    pub fn new(is_open: bool, root_path: &str) -> Self {
        let (words, tag) = match is_open {
            true => (OPEN.to_owned(), concat!("open-", env!("CARGO_PKG_VERSION"))),
            false => (
                KEYED.replace("PATH", &format!("{root_path}{}", ticket::PATH)),
                concat!("keyed-", env!("CARGO_PKG_VERSION")),
            ),
        };
        Self { script: format!("<script>{words}</script>"), tag }
    }

    pub async fn shown(&self, found: Found, headers: &HeaderMap) -> io::Result<Response> {
        let tag = format!("\"{}-{}\"", found.tag, self.tag);
        let own = [(header::CONTENT_TYPE, content_type(&found.path)), (header::ETAG, tag.clone())];
        if etag::is_known(headers, &tag) == Some(true) {
            return Ok((StatusCode::NOT_MODIFIED, COMMON, own).into_response());
        }
        let page = off_the_runtime(move || read(found)).await?;
        let page = match page.split_once("<head>") {
            Some((before, after)) => format!("{before}<head>{}{after}", self.script),
            None => format!("{}{page}", self.script),
        };
        Ok((COMMON, own, page).into_response())
    }
}

fn read(found: Found) -> io::Result<String> {
    let mut page = String::new();
    found.file.take(MOST + 1).read_to_string(&mut page)?;
    if page.len() as u64 > MOST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the first page is too large"));
    }
    Ok(page)
}
