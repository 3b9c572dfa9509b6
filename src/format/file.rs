//! Opening regular files: nothing that blocks, never more bytes than expected.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::path::Path;

use super::FormatError;

/// Opens a regular file for reading, following links; its length in bytes comes with it.
///
/// Pipes and devices are refused before they are opened: opening a pipe would wait for a writer.
pub(super) fn open_regular(path: &Path) -> Result<(File, u64), FormatError> {
    let kind = fs::metadata(path).map_err(|e| io_error("open", path, e))?.file_type();
    if !kind.is_file() {
        return Err(FormatError::NotAFile { path: path.into(), kind: kind_name(kind) });
    }
    let file = File::open(path).map_err(|e| io_error("open", path, e))?;
    let len = file.metadata().map_err(|e| io_error("inspect", path, e))?.len();
    Ok((file, len))
}

/// Whether a regular file at this path begins with `magic`. What cannot be read does not.
pub(super) fn begins_with<const N: usize>(path: &Path, magic: &[u8; N]) -> bool {
    let mut first = [0; N];
    let read = open_regular(path).is_ok_and(|(mut file, _)| file.read_exact(&mut first).is_ok());
    read && first == *magic
}

/// The bytes of a regular file of at most `limit` bytes.
///
/// # Errors
/// [`FormatError::TooLarge`] if there are more, and what the system answers.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, FormatError> {
    let (file, len) = open_regular(path)?;
    if len > limit {
        return Err(FormatError::TooLarge { path: path.into(), len, limit });
    }
    let mut bytes = Vec::new();
    // The bound holds even if the file grows meanwhile.
    file.take(limit).read_to_end(&mut bytes).map_err(|e| io_error("read", path, e))?;
    Ok(bytes)
}

/// The system's answer, with the path and what was tried.
pub(super) fn io_error(action: &'static str, path: &Path, source: io::Error) -> FormatError {
    if source.kind() != io::ErrorKind::NotFound {
        return FormatError::Io { action, path: path.into(), source };
    }
    let note = match fs::read_link(path) {
        Ok(to) => format!(": it is a link to '{}', which is missing; download it again", to.display()),
        Err(_) => String::new(),
    };
    FormatError::NotFound { path: path.into(), note }
}

pub(super) fn kind_name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        return "a directory";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a named pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    "a special file"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_up_to_the_limit_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        let e = read_bounded(&path, 4).unwrap_err().to_string();
        assert_eq!(e, format!("'{}' has 5 bytes, more than the 4 that such a file may have", path.display()));
    }

    #[test]
    fn absent_files_and_directories_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("absent");
        let e = read_bounded(&path, 4).unwrap_err().to_string();
        assert_eq!(e, format!("'{}' does not exist", path.display()));
        let e = read_bounded(dir.path(), 4).unwrap_err().to_string();
        assert_eq!(
            e,
            format!("'{}' is a directory, not a regular file, and cannot be read", dir.path().display())
        );
    }

    #[cfg(unix)]
    #[test]
    fn pipes_devices_and_broken_links_do_not_hang() {
        let e = read_bounded(Path::new("/dev/zero"), 4).unwrap_err().to_string();
        assert_eq!(e, "'/dev/zero' is a device, not a regular file, and cannot be read");

        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|s| s.success());
        if made {
            let e = read_bounded(&pipe, 4).unwrap_err().to_string();
            assert!(e.ends_with("is a named pipe, not a regular file, and cannot be read"), "{e}");
        }

        let link = dir.path().join("model.safetensors");
        std::os::unix::fs::symlink("../blobs/abc", &link).unwrap();
        let e = read_bounded(&link, 4).unwrap_err().to_string();
        assert!(
            e.ends_with(
                "does not exist: it is a link to '../blobs/abc', which is missing; download it again"
            ),
            "{e}"
        );

        let ring = dir.path().join("ring");
        std::os::unix::fs::symlink(&ring, &ring).unwrap();
        let e = read_bounded(&ring, 4).unwrap_err().to_string();
        assert!(e.starts_with(&format!("cannot open '{}': ", ring.display())), "{e}");
    }
}
