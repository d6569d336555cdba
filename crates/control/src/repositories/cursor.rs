//! Where a list of repositories goes on.

use std::fmt;
use std::str::FromStr;

/// A page of the provider, and how many of those that fit are behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub page: u32,
    pub offset: usize,
}

impl Cursor {
    pub const START: Self = Self { page: 1, offset: 0 };

    pub(super) fn of_page(page: u32) -> Self {
        Self { page, offset: 0 }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            0 => write!(formatter, "{}", self.page),
            offset => write!(formatter, "{}:{offset}", self.page),
        }
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (page, offset) = text.split_once(':').unwrap_or((text, "0"));
        let cursor = Self { page: page.parse().map_err(drop)?, offset: offset.parse().map_err(drop)? };
        if cursor.page == 0 { Err(()) } else { Ok(cursor) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for cursor in [Cursor::START, Cursor { page: 3, offset: 17 }] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for text in ["", "0", "x", "1:", "1:-1", "1:2:3", "-1"] {
            assert_eq!(text.parse::<Cursor>(), Err(()), "{text}");
        }
    }
}
