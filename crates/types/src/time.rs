//! Times as they are sent and stored: the two forms on the wire (both with microseconds), and milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, Zoned, civil};

/// Now, as events carry it: local time without an offset, `2026-11-23T00:49:11.143493`.
/// The fraction is dropped when it is exactly zero, as the peer does.
#[must_use]
pub fn event_now() -> String {
    event_form(Zoned::now().datetime())
}

/// A time as events carry it.
#[must_use]
pub fn event_of(time: SystemTime) -> String {
    let at = Timestamp::try_from(time).unwrap_or(Timestamp::MIN);
    event_form(at.to_zoned(jiff::tz::TimeZone::system()).datetime())
}

fn event_form(at: civil::DateTime) -> String {
    let micros = at.subsec_nanosecond() / 1_000;
    if micros == 0 {
        at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
    } else {
        at.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
    }
}

/// One microsecond after the event time `text`, or `text` itself where it does not parse.
/// Keeps the timestamps of one log increasing when the clock does not.
#[must_use]
pub fn just_after(text: &str) -> String {
    let Ok(at) = text.parse::<civil::DateTime>() else { return text.to_owned() };
    at.checked_add(jiff::Span::new().microseconds(1)).map_or_else(|_| text.to_owned(), event_form)
}

/// Now, as records and bash events carry it: UTC with `Z`, `2026-11-23T00:49:08.190203Z`.
#[must_use]
pub fn utc_now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Now, in milliseconds from the beginning of 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The same in seconds.
#[must_use]
pub fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Whole milliseconds, `u64::MAX` for what has more.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The UTC time that was `age` ago.
#[must_use]
pub fn utc_ago(age: Duration) -> String {
    let now = Timestamp::now();
    let then = now.checked_sub(age).unwrap_or(Timestamp::MIN);
    then.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// The UTC time that is `millis` milliseconds after the beginning of 1970.
#[must_use]
pub fn utc_of_unix(millis: u64) -> String {
    let at = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    at.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// The milliseconds from the beginning of 1970 to the UTC time `text`; `None` if it is not one.
#[must_use]
pub fn unix_of_utc(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<Timestamp>().ok()?.as_millisecond()).ok()
}

/// One microsecond after the UTC time `text`, or `text` itself where it does not parse.
#[must_use]
pub fn utc_after(text: &str) -> String {
    let Ok(at) = text.parse::<Timestamp>() else { return text.to_owned() };
    let later = at.checked_add(jiff::Span::new().microseconds(1)).unwrap_or(at);
    later.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// An event time in the UTC form; `None` if it is not one.
#[must_use]
pub fn local_as_utc(text: &str) -> Option<String> {
    let at = text.parse::<civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::system()).ok()?.timestamp();
    Some(at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
}

/// A time bound of a query in the event form: an offset is converted to local time, a naive one kept.
/// `None` if it is neither.
#[must_use]
pub fn bound_as_local(text: &str) -> Option<String> {
    if let Some(at) = absolute(text) {
        return Some(event_form(at.to_zoned(jiff::tz::TimeZone::system()).datetime()));
    }
    text.parse::<civil::DateTime>().ok().map(event_form)
}

/// A time bound of a query in the UTC form: an offset is converted, a naive one is taken for UTC.
/// `None` if it is neither.
#[must_use]
pub fn bound_as_utc(text: &str) -> Option<String> {
    let at = match absolute(text) {
        Some(at) => at,
        None => text.parse::<civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
    };
    Some(at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
}

/// With an offset, or as seconds since 1970; as milliseconds where that would be after the year 2603, as pydantic takes it.
fn absolute(text: &str) -> Option<Timestamp> {
    const MOST_SECONDS: f64 = 2e10;
    let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) else {
        return text.parse().ok();
    };
    let seconds = if number.abs() > MOST_SECONDS { number / 1e3 } else { number };
    #[expect(clippy::cast_possible_truncation, reason = "out of range it is no time")]
    let micros = (seconds * 1e6).round() as i64;
    Timestamp::from_microsecond(micros).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_stamp_is_one_microsecond_on() {
        assert_eq!(just_after("2026-11-23T00:49:11.143493"), "2026-11-23T00:49:11.143494");
        assert_eq!(just_after("2026-11-23T00:49:11.999999"), "2026-11-23T00:49:12");
    }

    #[test]
    fn a_later_utc_stamp_is_one_microsecond_on() {
        assert_eq!(utc_after("2026-11-23T00:49:11.999999Z"), "2026-11-23T00:49:12.000000Z");
    }

    #[test]
    fn unix_milliseconds_are_shown_as_utc() {
        assert_eq!(utc_of_unix(1_795_411_151_143), "2026-11-23T05:19:11.143000Z");
    }

    #[test]
    fn bounds_are_converted_to_the_form_they_are_compared_in() {
        assert_eq!(bound_as_utc("2026-11-23T02:00:00+02:00").as_deref(), Some("2026-11-23T00:00:00.000000Z"));
        assert_eq!(bound_as_utc("2026-11-23T02:00:00").as_deref(), Some("2026-11-23T02:00:00.000000Z"));
        assert_eq!(bound_as_local("2026-11-23T02:00:00.5").as_deref(), Some("2026-11-23T02:00:00.500000"));
        assert_eq!(bound_as_local("yesterday"), None);
        for seconds in ["1700000000.5", "1700000000500"] {
            assert_eq!(bound_as_utc(seconds).as_deref(), Some("2023-11-14T22:13:20.500000Z"));
        }
        for none in ["1e300", "nan", "inf"] {
            assert_eq!(bound_as_utc(none), None);
        }
    }
}
