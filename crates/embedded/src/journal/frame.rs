//! What a frame of the journal says: physical changes of files, all of which or none take place.
//!
//! A frame is `length: u32, crc32: u32, synced: u32, payload`; the payload is a row of changes, each
//! `kind: u8, area: u8, path length: u16, offset: u64, bytes length: u32, path, bytes`. Little endian. The checksum is
//! of the frame's own position, `synced` and the payload, so bytes of a file never pass for a frame elsewhere.
//!
//! `synced` is how much of the segment was on the disk when the frame was written. Frames that a crash of the machine
//! has torn are never before that of a later frame; what is bad there was damaged. So that this is also said of the last
//! frames, a *voucher* follows them when nothing else does: a frame that changes nothing, with the payload `VOUCHER`.

use crate::change::Change;
use crate::place::{Area, Place};

/// Of frames before they had a `synced`; journals of such a release are still read.
const OLD_HEADER_BYTES: usize = 8;
const HEADER_BYTES: usize = 12;

/// How the frames of a segment are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Old,
    New,
}

/// A whole frame of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub start: usize,
    pub end: usize,
    /// Where its changes begin.
    pub payload: usize,
    pub synced: usize,
}

/// What a change takes beside its path and bytes.
const CHANGE_BYTES: usize = 16;

const APPEND: u8 = 1;
const REPLACE: u8 = 2;
const REMOVE: u8 = 3;
const TRUNCATE: u8 = 4;
const VOUCHER: u8 = 5;

/// Writes frames one after the other into a buffer.
#[derive(Default)]
pub struct FrameWriter {
    buffer: Vec<u8>,
    start: usize,
    /// Where the buffer goes in its segment.
    base: u64,
    synced: u64,
}

impl FrameWriter {
    /// Says where in a segment what follows goes, and how much of that is synced.
    pub fn begin(&mut self, base: u64, synced: u64) {
        (self.base, self.synced) = (base, synced);
    }

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

    /// Writes a whole frame that says only how much is synced.
    pub fn vouch(&mut self) {
        self.buffer.extend([0; HEADER_BYTES]);
        self.buffer.push(VOUCHER);
        self.finish();
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
        let position = self.base + start as u64;
        let (header, payload) = self.buffer.get_mut(start..)?.split_at_mut_checked(HEADER_BYTES)?;
        let synced = short(self.synced).to_le_bytes();
        let sum = sum(short(position), synced, payload).to_le_bytes();
        let fields = [short(payload.len() as u64).to_le_bytes(), sum, synced];
        header.iter_mut().zip(fields.iter().flatten()).for_each(|(place, byte)| *place = *byte);
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

/// The frame at `start` of a segment, if a whole one is there.
pub fn at(segment: &[u8], start: usize, format: Format) -> Option<Frame> {
    let mut header = Reader(segment.get(start..)?);
    let (length, crc) = (usize::try_from(header.u32()?).ok()?, header.u32()?);
    let (synced, header_bytes) = match format {
        Format::Old => (None, OLD_HEADER_BYTES),
        Format::New => (Some(header.u32()?), HEADER_BYTES),
    };
    let payload = header.take(length)?;
    // Most bytes are no frame, and their checksum need not be made.
    let may_be_one = match payload {
        [VOUCHER] => format == Format::New,
        [APPEND..=TRUNCATE, area, ..] => area_of(*area).is_some(),
        _ => false,
    };
    if !may_be_one {
        return None;
    }
    let found = match synced {
        None => crc32fast::hash(payload),
        Some(synced) => sum(short(start as u64), synced.to_le_bytes(), payload),
    };
    let (payload, synced) = (start + header_bytes, synced.map_or(start, |synced| synced as usize));
    (found == crc).then_some(Frame { start, end: payload + length, payload, synced })
}

/// What a whole frame says; `None` if this release does not know it.
pub fn read<'a>(segment: &'a [u8], frame: &Frame) -> Option<Vec<Change<'a>>> {
    match segment.get(frame.payload..frame.end)? {
        [VOUCHER] => Some(Vec::new()),
        payload => changes(payload),
    }
}

/// The changes of a whole frame that was written just now.
pub fn decode_own(frame: &[u8]) -> Option<Vec<Change<'_>>> {
    changes(frame.get(HEADER_BYTES..)?)
}

fn sum(position: u32, synced: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    [&position.to_le_bytes(), &synced, payload].iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// Segments and frames are bounded: the number is never cut.
fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
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

    /// As they are in a segment.
    fn two_frames() -> Vec<u8> {
        let mut writer = FrameWriter::default();
        writer.begin(8, 8);
        writer.append(&place("a"), 7, &[b"one", b"\n"]);
        writer.finish().unwrap();
        writer.replace(&place("b"), &[b"1\n", b"two"]);
        writer.remove(&place("c"));
        writer.truncate(&place("d"), 9);
        writer.finish().unwrap();
        [b"segment\n", writer.bytes()].concat()
    }

    #[test]
    fn frames_read_back_as_they_were_written() {
        let segment = two_frames();
        let first = at(&segment, 8, Format::New).unwrap();
        let append = Change::Append { place: place("a"), offset: 7, bytes: b"one\n" };
        assert_eq!(read(&segment, &first).unwrap(), [append]);
        let second = at(&segment, first.end, Format::New).unwrap();
        let expected = [
            Change::Replace { place: place("b"), bytes: b"1\ntwo" },
            Change::Remove { place: place("c") },
            Change::Truncate { place: place("d"), first_kept: 9 },
        ];
        assert_eq!(read(&segment, &second).unwrap(), expected);
        assert_eq!((second.end, second.synced), (segment.len(), 8));
    }

    #[test]
    fn a_voucher_says_what_is_synced_and_nothing_else() {
        let mut segment = two_frames();
        let mut writer = FrameWriter::default();
        writer.begin(segment.len() as u64, segment.len() as u64);
        writer.vouch();
        let start = segment.len();
        segment.extend(writer.bytes());
        let voucher = at(&segment, start, Format::New).unwrap();
        assert_eq!((voucher.synced, voucher.end), (start, segment.len()));
        assert_eq!(read(&segment, &voucher).unwrap(), []);
        assert_eq!(at(&segment, start, Format::Old), None);
    }

    #[test]
    fn a_cut_frame_is_none() {
        let segment = two_frames();
        let first = at(&segment, 8, Format::New).unwrap();
        for end in 8..first.end {
            assert_eq!(at(&segment[..end], 8, Format::New), None, "cut at {end}");
        }
    }

    #[test]
    fn a_frame_with_an_altered_byte_is_none() {
        let segment = two_frames();
        let first = at(&segment, 8, Format::New).unwrap();
        for position in 8..first.end {
            let mut altered = segment.clone();
            altered[position] ^= 0x40;
            assert_eq!(at(&altered, 8, Format::New), None, "byte {position}");
        }
        assert_eq!(at(&[0; 64], 8, Format::New), None, "zeros");
    }

    #[test]
    fn a_frame_is_none_where_it_was_not_written() {
        let segment = two_frames();
        let moved = [b"x", segment.as_slice()].concat();
        assert_eq!(at(&moved, 9, Format::New), None);
    }

    #[test]
    fn nothing_written_is_no_frame() {
        assert_eq!(FrameWriter::default().finish(), None);
    }
}
