//! Event times as numbers.

/// An event time as a number that orders like its text: years, months … and microseconds, packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Reads `2026-11-23T00:49:11.143493`, the fraction optional; anything behind it is passed over. A text
    /// that is no time comes before all times.
    #[must_use]
    pub fn of_event(text: &str) -> Self {
        Self::parse(text).unwrap_or_default()
    }

    /// A time bound of a query: an offset is converted to local time, a naive one kept. `None` if it is
    /// neither.
    #[must_use]
    pub fn of_bound(text: &str) -> Option<Self> {
        Self::parse(&types::time::bound_as_local(text)?)
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
        let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
        let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
        let whole = ((((year * 13 + month) * 32 + day) * 24 + hour) * 60 + minute) * 61 + second;
        Some(Self(whole * 1_000_000 + micros(text.get(19..).unwrap_or_default())))
    }
}

/// The first six digits of a fraction that begins with its point.
fn micros(fraction: &str) -> u64 {
    let digits = fraction.strip_prefix('.').unwrap_or_default().bytes();
    let digits = digits.take_while(u8::is_ascii_digit).chain(std::iter::repeat(b'0')).take(6);
    digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_order_as_their_texts_do() {
        let texts = [
            "nothing",
            "2025-12-31T23:59:59.999999",
            "2026-11-23T00:49:11",
            "2026-11-23T00:49:11.000001",
            "2026-11-23T00:49:11.5",
            "2026-11-23T00:49:12",
        ];
        let moments: Vec<_> = texts.iter().map(|text| Moment::of_event(text)).collect();
        assert!(moments.is_sorted_by(|a, b| a < b), "{moments:?}");
        assert_eq!(
            Moment::of_bound("2026-11-23T00:49:11.5"),
            Some(Moment::of_event("2026-11-23T00:49:11.500000"))
        );
        assert_eq!(Moment::of_bound("yesterday"), None);
    }
}
