//! Files that a user names, read with bounds: a FIFO is not waited for, a device is not read without end.

use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// The most that a target file, a kubeconfig, a kind configuration or a manifest may hold.
pub(crate) const DOCUMENT: u64 = 16 << 20;

/// The most that the log or the record of a run may hold.
pub(crate) const LOG: u64 = 1 << 30;

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// It cannot be opened or read, it is not a regular file, or it is larger ([`ErrorKind::FileTooLarge`]).
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let file = open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let found = kind(&metadata);
        return Err(Error::new(ErrorKind::InvalidInput, format!("expected a regular file, found {found}")));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    let length = metadata.len().max(bytes.len() as u64);
    if length > most {
        let what = format!("{length} bytes; at most {most} are read");
        return Err(Error::new(ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// Reads a regular file of at most `most` bytes as text.
///
/// # Errors
/// Those of [`read`], or the file is not UTF-8.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String> {
    let bytes = read(path, most)?;
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "expected text in UTF-8"))
}

#[cfg(unix)]
fn open(path: &Path) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // Without O_NONBLOCK, opening a FIFO waits until somebody writes to it.
    File::options().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> Result<File> {
    File::open(path)
}

#[cfg(unix)]
fn kind(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "something else"
    }
}

#[cfg(not(unix))]
fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a folder" } else { "something else" }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_bounded_size_is_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (file, fifo) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
        std::fs::write(&file, "12345").unwrap();
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        assert_eq!(read(&file, 4).unwrap_err().kind(), ErrorKind::FileTooLarge);
        for (path, found) in
            [(fifo.as_path(), "a FIFO"), (folder.path(), "a folder"), (Path::new("/dev/zero"), "a device")]
        {
            let error = read(path, 5).unwrap_err();
            assert_eq!(error.to_string(), format!("expected a regular file, found {found}"));
        }
        std::fs::write(&file, [0xff]).unwrap();
        assert_eq!(read_text(&file, 5).unwrap_err().to_string(), "expected text in UTF-8");
    }
}
