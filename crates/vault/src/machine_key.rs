//! The key of a machine whose operator gave none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chacha20poly1305::aead::Generate;
use secrecy::SecretString;
use zeroize::Zeroizing;

/// The secret text of a machine whose operator gave none: reads the file at `path`, or makes it (mode 0600)
/// with 256 random bits. Two processes that start together end up with the same key.
///
/// # Errors
/// Any of reading or writing; `InvalidData` when the file is there but holds no key.
pub fn machine_key(path: &Path) -> io::Result<SecretString> {
    match read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(path)?;
            read(path)
        }
        read_or_failed => read_or_failed,
    }
}

fn read(path: &Path) -> io::Result<SecretString> {
    let text = Zeroizing::new(fs::read_to_string(path)?);
    let key = text.trim();
    if key.is_empty() {
        return Err(io::Error::new(ErrorKind::InvalidData, "the key file is empty"));
    }
    Ok(SecretString::from(key))
}

/// Writes the whole key beside `path` and links it there, so that nobody ever reads a part of it. It is on the disk
/// before anything is sealed under it.
fn make(path: &Path) -> io::Result<()> {
    // Not of the process alone: in containers all may have the same number.
    let draft = path.with_extension(format!("{:032x}.new", u128::from_ne_bytes(<[u8; 16]>::generate())));
    let made = write_key(&draft).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked_or_failed => linked_or_failed,
    });
    let removed = fs::remove_file(&draft);
    made.and(removed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_key(path: &Path) -> io::Result<()> {
    // Hexadecimal: it can stand anywhere, also after an option of a command line.
    let [high, low] = [<[u8; 16]>::generate(), <[u8; 16]>::generate()].map(u128::from_ne_bytes);
    let text = Zeroizing::new(format!("{high:032x}{low:032x}\n"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_read_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine.key");
        let made = machine_key(&path).unwrap();
        assert_eq!(machine_key(&path).unwrap().expose_secret(), made.expose_secret());
        assert_eq!(made.expose_secret().len(), 64);
        assert!(made.expose_secret().bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn who_start_at_the_same_moment_have_the_same_key() {
        for _ in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("machine.key");
            let keys: Vec<String> = std::thread::scope(|scope| {
                let start = || scope.spawn(|| machine_key(&path).unwrap().expose_secret().to_owned());
                let started: Vec<_> = (0..8).map(|_| start()).collect();
                started.into_iter().map(|one| one.join().unwrap()).collect()
            });
            assert!(keys.iter().all(|key| *key == keys[0]));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn every_machine_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (machine_key(&folder.path().join("1")), machine_key(&folder.path().join("2")));
        assert_ne!(one.unwrap().expose_secret(), two.unwrap().expose_secret());
    }

    #[test]
    fn an_empty_key_file_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine.key");
        fs::write(&path, "\n").unwrap();
        assert_eq!(machine_key(&path).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(fs::read(&path).unwrap(), b"\n");
    }
}
