//! Memory for pieces of files, used again and again: a transfer would otherwise take and give back its whole
//! length, and what is given back between other things stays with the process.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;
/// Buffers kept while nobody uses them.
const MOST: usize = 8;

#[derive(Default)]
pub(super) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

/// A buffer that goes back when it is dropped.
pub(super) struct Lent {
    bytes: Vec<u8>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// An empty one.
    pub(super) fn lend(self: &Arc<Self>) -> Lent {
        Lent { bytes: self.free.lock().pop().unwrap_or_default(), home: Arc::clone(self) }
    }

    /// Gives the memory of those back that nobody uses.
    pub(super) fn free_unused(&self) {
        let unused = mem::take(&mut *self.free.lock());
        drop(unused);
    }
}

impl Lent {
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut bytes = mem::take(&mut self.bytes);
        bytes.clear();
        let mut free = self.home.free.lock();
        if free.len() < MOST {
            free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_lent_again_empty() {
        let buffers = Arc::new(Buffers::default());
        let mut first = buffers.lend();
        first.bytes().extend_from_slice(b"content");
        let memory = first.as_ref().as_ptr();
        drop(first);
        let mut again = buffers.lend();
        assert!(again.as_ref().is_empty());
        again.bytes().push(b'x');
        assert_eq!(again.as_ref().as_ptr(), memory);
    }

    #[test]
    fn unused_memory_is_bounded_and_given_back() {
        let buffers = Arc::new(Buffers::default());
        drop((0..2 * MOST).map(|_| buffers.lend()).collect::<Vec<_>>());
        assert_eq!(buffers.free.lock().len(), MOST);
        buffers.free_unused();
        assert!(buffers.free.lock().is_empty());
    }
}
