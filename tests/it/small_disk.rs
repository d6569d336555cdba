//! A file system of its own with little room.

use std::path::{Path, PathBuf};
use std::process::Command;

pub struct SmallDisk(pub PathBuf);

impl SmallDisk {
    /// `None` where we may not mount.
    pub fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let disk = Self(at.to_owned());
        disk.run(&format!("size={size}")).then_some(disk)
    }

    /// # Panics
    /// When it does not become so large.
    pub fn grow(&self, size: &str) {
        assert!(self.run(&format!("remount,size={size}")));
    }

    fn run(&self, options: &str) -> bool {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&self.0).status();
        mounted.is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
