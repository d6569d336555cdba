//! Which bytes of a file a request is for.

use std::ops::Range;

use http::{HeaderMap, header};

use crate::error::{ApiError, ApiResult};

/// Which bytes of a file of some size a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    Whole,
    Part(Range<u64>),
    /// 416.
    Nothing,
}

/// Reads `Range`. Several ranges are answered with the whole file, which is allowed.
///
/// # Errors
/// 400 for another unit, or what is no range.
pub(super) fn wanted(headers: &HeaderMap, size: u64) -> ApiResult<Selection> {
    let Some(value) = headers.get(header::RANGE) else { return Ok(Selection::Whole) };
    let text = value.to_str().ok().and_then(|text| text.split_once('='));
    let Some((unit, ranges)) = text else { return Err(malformed()) };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Err(ApiError::bad_request("Only byte ranges are supported"));
    }
    if ranges.contains(',') {
        return Ok(Selection::Whole);
    }
    one(ranges.trim(), size).ok_or_else(malformed)
}

fn one(range: &str, size: u64) -> Option<Selection> {
    let (first, last) = range.split_once('-')?;
    let part = match (number(first)?, number(last)?) {
        (None, None) => return None,
        (None, Some(length)) => size.saturating_sub(length)..size,
        (Some(first), None) => first..size,
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(_), Some(_)) => return None,
    };
    Some(if part.is_empty() { Selection::Nothing } else { Selection::Part(part) })
}

/// The inner `None` is an empty text; the outer one what is no number.
fn number(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    text.bytes().all(|b| b.is_ascii_digit()).then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

fn malformed() -> ApiError {
    ApiError::bad_request("Malformed range header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &str) -> ApiResult<Selection> {
        wanted(&HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]), 10)
    }

    #[test]
    fn single_ranges_are_cut_at_the_end() {
        assert_eq!(of("bytes=0-3").unwrap(), Selection::Part(0..4));
        assert_eq!(of("bytes=8-99999999999999999999999").unwrap(), Selection::Part(8..10));
        assert_eq!(of("bytes=4-").unwrap(), Selection::Part(4..10));
        assert_eq!(of("bytes=-3").unwrap(), Selection::Part(7..10));
        assert_eq!(of("bytes=-30").unwrap(), Selection::Part(0..10));
        assert_eq!(of("bytes=10-").unwrap(), Selection::Nothing);
        assert_eq!(of("bytes=-0").unwrap(), Selection::Nothing);
        assert_eq!(of("bytes=0-1,4-5").unwrap(), Selection::Whole);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["lines=1-2", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "bytes=+1-2"] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
