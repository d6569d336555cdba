//! The newest of the files that were found, however many there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::time::SystemTime;

const MOST: usize = 100;

#[derive(Default)]
pub struct Newest {
    /// The oldest of them is on top; of one time the one whose name comes last.
    kept: BinaryHeap<Reverse<(SystemTime, Reverse<PathBuf>)>>,
    left_out: bool,
}

impl Newest {
    pub fn add(&mut self, path: PathBuf, modified: SystemTime) {
        self.kept.push(Reverse((modified, Reverse(path))));
        if self.kept.len() > MOST {
            self.kept.pop();
            self.left_out = true;
        }
    }

    /// The newest first, and whether there were others.
    pub fn into_paths(self) -> (Vec<PathBuf>, bool) {
        let sorted = self.kept.into_sorted_vec();
        (sorted.into_iter().map(|Reverse((_, Reverse(path)))| path).collect(), self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn found(number: u64) -> (PathBuf, SystemTime) {
        (format!("{number}").into(), SystemTime::UNIX_EPOCH + Duration::from_secs(number))
    }

    #[test]
    fn a_hundred_are_all_and_one_more_is_cut() {
        for (count, is_cut) in [(100, false), (101, true)] {
            let mut newest = Newest::default();
            for number in 0..count {
                let (path, modified) = found(number * 37 % count);
                newest.add(path, modified);
            }
            let (paths, left_out) = newest.into_paths();
            assert_eq!((paths.len(), left_out), (100, is_cut));
            assert_eq!(paths.first(), Some(&found(count - 1).0));
            assert_eq!(paths.last(), Some(&found(count - 100).0));
        }
    }
}
