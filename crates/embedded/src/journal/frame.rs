//! What a frame of the journal says: physical changes of files, all of which or none take place.
//!
//! A frame is `length: u32, crc32: u32, payload`; the payload is a row of changes, each
//! `kind: u8, area: u8, path length: u16, offset: u64, bytes length: u32, path, bytes`. Little endian.

use crate::change::Change;
use crate::place::{Area, Place};

pub const HEADER_BYTES: usize = 8;

/// What a change takes beside its path and bytes.
const CHANGE_BYTES: usize = 16;

const APPEND: u8 = 1;
const REPLACE: u8 = 2;
const REMOVE: u8 = 3;
const TRUNCATE: u8 = 4;

/// Writes frames one after the other into a buffer.
#[derive(Default)]
pub struct FrameWriter {
    buffer: Vec<u8>,
    start: usize,
}

impl FrameWriter {
    /// What is appended are `parts`, in order.
    pub fn append(&mut self, place: &Place, offset: u64, parts: &[&[u8]]) {
        self.change(APPEND, place, offset, parts);
    }

    /// The new content is that of `parts`, in order.
    pub fn replace(&mut self, place: &Place, parts: &[&[u8]]) {
        self.change(REPLACE, place, 0, parts);
    }

    pub fn remove(&mut self, place: &Place) {
        self.change(REMOVE, place, 0, &[]);
    }

    pub fn truncate(&mut self, place: &Place, first_kept: u64) {
        self.change(TRUNCATE, place, first_kept, &[]);
    }

    fn change(&mut self, kind: u8, place: &Place, offset: u64, parts: &[&[u8]]) {
        if self.buffer.len() == self.start {
            self.buffer.extend([0; HEADER_BYTES]);
        }
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.buffer.reserve(length + place.path.len() + CHANGE_BYTES);
        self.buffer.extend([kind, area_code(place.area)]);
        // Paths are checked names and records are bounded: neither number is ever cut.
        self.buffer.extend(u16::try_from(place.path.len()).unwrap_or(u16::MAX).to_le_bytes());
        self.buffer.extend(offset.to_le_bytes());
        self.buffer.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        self.buffer.extend(place.path.as_bytes());
        for part in parts {
            self.buffer.extend(*part);
        }
    }

    /// Ends the frame; answers where it stands in the buffer, or `None` if it has no change.
    pub fn finish(&mut self) -> Option<std::ops::Range<usize>> {
        let (start, end) = (self.start, self.buffer.len());
        let (header, payload) = self.buffer.get_mut(start..)?.split_at_mut_checked(HEADER_BYTES)?;
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let (length_place, crc_place) = header.split_at_mut(4);
        length_place.copy_from_slice(&length.to_le_bytes());
        crc_place.copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        self.start = end;
        Some(start..end)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Forgets everything; keeps the memory up to `capacity`.
    pub fn clear(&mut self, capacity: usize) {
        self.buffer.clear();
        self.buffer.shrink_to(capacity);
        self.start = 0;
    }
}

/// The first frame of `bytes` and its length, if there is a whole one.
pub fn decode(bytes: &[u8]) -> Option<(Vec<Change<'_>>, usize)> {
    let mut header = Reader(bytes);
    let length = usize::try_from(header.u32()?).ok()?;
    let crc = header.u32()?;
    let payload = header.take(length)?;
    if length == 0 || crc32fast::hash(payload) != crc {
        return None;
    }
    Some((changes(payload)?, HEADER_BYTES + length))
}

/// The changes of a whole frame that was written just now.
pub fn decode_own(frame: &[u8]) -> Option<Vec<Change<'_>>> {
    changes(frame.get(HEADER_BYTES..)?)
}

fn changes(payload: &[u8]) -> Option<Vec<Change<'_>>> {
    let (mut reader, mut changes) = (Reader(payload), Vec::new());
    while !reader.0.is_empty() {
        changes.push(reader.change()?);
    }
    Some(changes)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn change(&mut self) -> Option<Change<'a>> {
        let kind = self.u8()?;
        let area = area_of(self.u8()?)?;
        let path_length = usize::from(self.u16()?);
        let offset = self.u64()?;
        let length = usize::try_from(self.u32()?).ok()?;
        let path = std::str::from_utf8(self.take(path_length)?).ok()?.to_owned();
        let place = Place { area, path };
        let bytes = self.take(length)?;
        match kind {
            APPEND => Some(Change::Append { place, offset, bytes }),
            REPLACE => Some(Change::Replace { place, bytes }),
            REMOVE => Some(Change::Remove { place }),
            TRUNCATE => Some(Change::Truncate { place, first_kept: offset }),
            _ => None,
        }
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

fn area_code(area: Area) -> u8 {
    match area {
        Area::Root => 0,
        Area::Conversations => 1,
        Area::BashEvents => 2,
    }
}

fn area_of(code: u8) -> Option<Area> {
    [Area::Root, Area::Conversations, Area::BashEvents].into_iter().find(|area| area_code(*area) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Place {
        Place { area: Area::Conversations, path: path.to_owned() }
    }

    fn two_frames() -> FrameWriter {
        let mut writer = FrameWriter::default();
        writer.append(&place("a"), 7, &[b"one", b"\n"]);
        writer.finish().unwrap();
        writer.replace(&place("b"), &[b"1\n", b"two"]);
        writer.remove(&place("c"));
        writer.truncate(&place("d"), 9);
        writer.finish().unwrap();
        writer
    }

    #[test]
    fn frames_read_back_as_they_were_written() {
        let writer = two_frames();
        let (first, length) = decode(writer.bytes()).unwrap();
        assert_eq!(first, [Change::Append { place: place("a"), offset: 7, bytes: b"one\n" }]);
        let (second, rest) = decode(&writer.bytes()[length..]).unwrap();
        let expected = [
            Change::Replace { place: place("b"), bytes: b"1\ntwo" },
            Change::Remove { place: place("c") },
            Change::Truncate { place: place("d"), first_kept: 9 },
        ];
        assert_eq!(second, expected);
        assert_eq!(length + rest, writer.bytes().len());
    }

    #[test]
    fn a_cut_frame_is_none() {
        let writer = two_frames();
        let (_, length) = decode(writer.bytes()).unwrap();
        for end in 0..length {
            assert!(decode(&writer.bytes()[..end]).is_none(), "cut at {end}");
        }
    }

    #[test]
    fn a_frame_with_an_altered_byte_is_none() {
        let writer = two_frames();
        let (_, length) = decode(writer.bytes()).unwrap();
        for at in 0..length {
            let mut altered = writer.bytes()[..length].to_vec();
            altered[at] ^= 0x40;
            assert!(decode(&altered).is_none(), "byte {at}");
        }
        assert!(decode(&[0; 64]).is_none(), "zeros");
    }

    #[test]
    fn nothing_written_is_no_frame() {
        assert_eq!(FrameWriter::default().finish(), None);
    }
}
