//! Zip archives, written as they are sent: every file stored as it is.

/// The form of an archive of version 2.0, names in UTF-8.
const VERSION: u16 = 20;
const UTF_8: u16 = 1 << 11;

/// The format knows no time before this one, 1980-01-01.
const FIRST_DAY: u16 = 0x21;

/// Where a 32-bit field cannot say it.
const TOO_LARGE: u32 = u32::MAX;

/// An archive under way.
#[derive(Default)]
pub(super) struct Zip {
    /// What comes at the end: one entry a file.
    directory: Vec<u8>,
    files: u64,
    /// Bytes so far.
    written: u64,
}

impl Zip {
    /// The next bytes of the archive, holding one more file. `None` for one of 4 GiB or more, or with such a
    /// long name.
    pub fn file(&mut self, name: &str, content: &[u8]) -> Option<Vec<u8>> {
        let (size, name_size) = (u32::try_from(content.len()).ok()?, u16::try_from(name.len()).ok()?);
        let offset = u32::try_from(self.written).unwrap_or(TOO_LARGE);
        let extra = if offset == TOO_LARGE { zip64_offset(self.written) } else { Vec::new() };
        let mut about = Vec::with_capacity(26);
        for field in [VERSION, UTF_8, 0, 0, FIRST_DAY] {
            about.extend(field.to_le_bytes());
        }
        for field in [crc32fast::hash(content), size, size] {
            about.extend(field.to_le_bytes());
        }
        about.extend(name_size.to_le_bytes());

        self.directory.extend(b"PK\x01\x02");
        self.directory.extend(VERSION.to_le_bytes());
        self.directory.extend(&about);
        self.directory.extend(u16::try_from(extra.len()).ok()?.to_le_bytes());
        // No comment, first disk, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.directory.extend(extra);
        self.files += 1;

        let mut bytes = Vec::with_capacity(32 + name.len() + content.len());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&about);
        bytes.extend([0; 2]);
        bytes.extend(name.as_bytes());
        bytes.extend(content);
        self.written += bytes.len() as u64;
        Some(bytes)
    }

    /// The archive's last bytes.
    pub fn end(self) -> Vec<u8> {
        let size = self.directory.len() as u64;
        let short = u16::try_from(self.files).unwrap_or(u16::MAX);
        let mut bytes = self.directory;
        bytes.extend(zip64_end(self.files, size, self.written));
        bytes.extend(b"PK\x05\x06");
        bytes.extend([0; 4]);
        bytes.extend(short.to_le_bytes());
        bytes.extend(short.to_le_bytes());
        bytes.extend(u32::try_from(size).unwrap_or(TOO_LARGE).to_le_bytes());
        bytes.extend(u32::try_from(self.written).unwrap_or(TOO_LARGE).to_le_bytes());
        bytes.extend([0; 2]);
        bytes
    }
}

fn zip64_offset(offset: u64) -> Vec<u8> {
    [&1u16.to_le_bytes()[..], &8u16.to_le_bytes(), &offset.to_le_bytes()].concat()
}

/// The end of the directory in the fields that are large enough for every archive.
fn zip64_end(files: u64, size: u64, offset: u64) -> Vec<u8> {
    let mut bytes = b"PK\x06\x06".to_vec();
    bytes.extend(44u64.to_le_bytes());
    bytes.extend([45, 0, 45, 0]);
    bytes.extend([0; 8]);
    for field in [files, files, size, offset] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(b"PK\x06\x07");
    bytes.extend([0; 4]);
    bytes.extend((offset + size).to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes
}
