//! Physical changes of files.

use crate::place::Place;

#[derive(Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// `bytes` begin at `offset`, and the file ends after them.
    Append {
        place: Place,
        offset: u64,
        bytes: &'a [u8],
    },
    /// The file holds `bytes` and nothing else.
    Replace {
        place: Place,
        bytes: &'a [u8],
    },
    Remove {
        place: Place,
    },
    /// What a log has before the record that ends at `first_kept`, or around it, is dropped.
    Truncate {
        place: Place,
        first_kept: u64,
    },
}

impl Change<'_> {
    pub fn place(&self) -> &Place {
        match self {
            Self::Append { place, .. }
            | Self::Replace { place, .. }
            | Self::Remove { place }
            | Self::Truncate { place, .. } => place,
        }
    }

    pub fn into_place(self) -> Place {
        match self {
            Self::Append { place, .. }
            | Self::Replace { place, .. }
            | Self::Remove { place }
            | Self::Truncate { place, .. } => place,
        }
    }
}
