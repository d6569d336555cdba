//! What is in a segment: its whole frames, and whether what is between or after them was torn or damaged.
//!
//! A crash of the machine tears only what was not synced, which is at the very end, and nobody was told that it is
//! stored. A bad place that a later frame says was synced before was good once: it is damage, and what follows it
//! is as good as ever.

use std::ops::Range;

use super::frame::{self, Format, Frame};
use super::segment::{MAGIC, OLD_MAGIC};

pub struct Scan {
    pub frames: Vec<Frame>,
    /// What was good once.
    pub damaged: Vec<Range<usize>>,
    /// Where what a crash has torn begins.
    pub torn: Option<usize>,
    /// How many whole frames follow that place. They go with it, as their batch was never acknowledged as a whole, or so it
    /// looks.
    pub whole_behind: usize,
}

/// `None`: it is of a release that is not known here. `is_last`: only the last segment can be torn, as each was synced
/// before the next one was begun.
pub fn scan(segment: &[u8], is_last: bool) -> Option<Scan> {
    let head = segment.get(..MAGIC.len()).unwrap_or_default();
    let format = if head == OLD_MAGIC { Format::Old } else { Format::New };
    let has_head = head == MAGIC || head == OLD_MAGIC;
    let (frames, mut bad) = walk(segment, format);
    if !has_head && frames.is_empty() {
        return match head {
            [b'm', b'h', b'j', b'r', b'n', b'l', ..] => None,
            _ if is_blank(segment) || (is_last && segment.len() <= MAGIC.len()) => Some(empty()),
            _ => Some(Scan { damaged: std::iter::once(0..segment.len()).collect(), ..empty() }),
        };
    }
    if !has_head {
        bad.insert(0, 0..MAGIC.len());
    }
    let synced = frames.iter().map(|frame| frame.synced).max().unwrap_or_default();
    let torn = bad.iter().find(|bad| is_last && bad.start >= synced).map(|bad| bad.start);
    let before = |position: usize| torn.is_none_or(|torn| position < torn);
    let (frames, behind): (Vec<_>, Vec<_>) = frames.into_iter().partition(|frame| before(frame.start));
    bad.retain(|bad| before(bad.start));
    Some(Scan { frames, damaged: bad, torn, whole_behind: behind.len() })
}

fn empty() -> Scan {
    Scan { frames: Vec::new(), damaged: Vec::new(), torn: None, whole_behind: 0 }
}

/// All whole frames, and the places that are neither frames nor the zeros after the last one.
fn walk(segment: &[u8], format: Format) -> (Vec<Frame>, Vec<Range<usize>>) {
    let (mut frames, mut bad, mut position) = (Vec::new(), Vec::new(), MAGIC.len());
    while position < segment.len() {
        if let Some(frame) = frame::at(segment, position, format) {
            position = frame.end;
            frames.push(frame);
            continue;
        }
        if is_blank(segment.get(position..).unwrap_or_default()) {
            break;
        }
        let next = (position + 1..segment.len()).find(|at| frame::at(segment, *at, format).is_some());
        let end = next.unwrap_or(segment.len());
        bad.push(position..end);
        position = end;
    }
    (frames, bad)
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Change;
    use crate::journal::frame::FrameWriter;
    use crate::place::{Area, Place};

    /// A segment of batches, each synced before the next was written; a text is a frame.
    fn segment(batches: &[&[&str]]) -> Vec<u8> {
        let place = Place { area: Area::BashEvents, path: "_bash.jsonl".to_owned() };
        let mut segment = MAGIC.to_vec();
        for batch in batches {
            let mut writer = FrameWriter::default();
            writer.begin(segment.len() as u64, segment.len() as u64);
            for text in *batch {
                writer.append(&place, 0, &[text.as_bytes()]);
                writer.finish().unwrap();
            }
            segment.extend(writer.bytes());
        }
        segment
    }

    fn only(place: Range<usize>) -> Vec<Range<usize>> {
        std::iter::once(place).collect()
    }

    fn starts(scan: &Scan) -> Vec<usize> {
        scan.frames.iter().map(|frame| frame.start).collect()
    }

    #[test]
    fn of_an_unsynced_batch_whose_beginning_is_missing_nothing_is_left() {
        let whole = segment(&[&["a"], &["b", "c", "d"]]);
        let all = starts(&scan(&whole, true).unwrap());
        let mut torn = whole;
        torn[all[1]..all[2]].fill(0);
        let scan = scan(&torn, true).unwrap();
        assert_eq!((starts(&scan), scan.damaged.len(), scan.torn), (vec![all[0]], 0, Some(all[1])));
        assert_eq!(scan.whole_behind, 2);
    }

    #[test]
    fn what_was_synced_and_is_bad_is_damage_and_what_follows_is_kept() {
        let whole = segment(&[&["a", "b", "c"], &["d", "e"]]);
        let all = starts(&scan(&whole, true).unwrap());
        let mut bad = whole;
        bad[all[1] + 20] ^= 1;
        let scan = scan(&bad, true).unwrap();
        assert_eq!((starts(&scan), scan.torn), (vec![all[0], all[2], all[3], all[4]], None));
        assert_eq!(scan.damaged, only(all[1]..all[2]));
    }

    #[test]
    fn before_the_last_segment_nothing_is_torn() {
        let whole = segment(&[&["a"], &["b"]]);
        let all = starts(&scan(&whole, true).unwrap());
        let cut = &whole[..whole.len() - 1];
        let (last, earlier) = (scan(cut, true).unwrap(), scan(cut, false).unwrap());
        assert_eq!((last.torn, last.damaged.len()), (Some(all[1]), 0));
        assert_eq!((earlier.torn, earlier.damaged), (None, only(all[1]..cut.len())));
    }

    #[test]
    fn a_damaged_head_hides_no_frames_and_a_newer_one_is_refused() {
        let whole = segment(&[&["a"], &["b"]]);
        let all = starts(&scan(&whole, true).unwrap());
        for position in 0..MAGIC.len() {
            let mut bad = whole.clone();
            bad[position] = b'x';
            let scan = scan(&bad, true).unwrap();
            assert_eq!((starts(&scan), scan.damaged), (all.clone(), only(0..MAGIC.len())));
        }
        assert!(scan(b"mhjrnl9\nwhatever it says", true).is_none());
        for nothing in [b"".as_slice(), b"mhj", &[0; 100], MAGIC] {
            let scan = scan(nothing, true).unwrap();
            assert!(scan.frames.is_empty() && scan.damaged.is_empty(), "{nothing:?}");
        }
    }

    #[test]
    fn a_segment_of_an_earlier_release_is_read() {
        let payload =
            [[2_u8, 0].as_slice(), &1_u16.to_le_bytes(), &[0; 8], &1_u32.to_le_bytes(), b"pv"].concat();
        let frame =
            [&(payload.len() as u32).to_le_bytes()[..], &crc32fast::hash(&payload).to_le_bytes(), &payload];
        let segment = [OLD_MAGIC.as_slice(), &frame.concat(), &frame.concat(), &[0; 9]].concat();
        let scan = scan(&segment, true).unwrap();
        assert_eq!((scan.frames.len(), scan.torn), (2, None));
        let changes = frame::read(&segment, &scan.frames[1]).unwrap();
        let place = Place { area: Area::Root, path: "p".to_owned() };
        assert_eq!(changes, [Change::Replace { place, bytes: b"v" }]);
    }
}
