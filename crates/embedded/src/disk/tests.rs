//! What the disk does with the files of the store.

use super::*;
use crate::options::Fsync;

#[test]
fn the_room_of_a_front_comes_back_only_as_far_as_it_is_on_the_disk_that_it_went() {
    const RECORD: usize = 64 << 10;
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::open(&Options::within(folder.path(), Fsync::Always)).unwrap());
    let place = Place { area: Area::BashEvents, path: "_bash.jsonl".to_owned() };
    let records = ["a", "b", "c"].map(|letter| letter.repeat(RECORD - 1) + "\n").concat();
    let append = Change::Append { place: place.clone(), offset: 0, bytes: records.as_bytes() };
    disk.apply(&append).unwrap();
    let dropped = |records: usize| Change::Truncate {
        place: Place { area: Area::BashEvents, path: "_bash.jsonl".to_owned() },
        first_kept: ((records + 1) * RECORD) as u64,
    };
    disk.apply(&dropped(1)).unwrap();
    let later = disk.clone();
    disk.before_next_sync(move || later.apply(&dropped(2)));
    disk.sync().unwrap();
    let bytes = fs::read(disk.path(&place)).unwrap();
    assert_eq!(bytes[0], 0, "the first has gone");
    assert!(bytes[RECORD..] == records.as_bytes()[RECORD..], "the second is still there");
    disk.sync().unwrap();
    assert_eq!(fs::read(disk.path(&place)).unwrap()[RECORD], 0, "now it has gone too");
}
