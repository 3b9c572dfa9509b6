//! Directories of the user who runs the program.

use std::env;
use std::fs::{DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where the program keeps what it can make again: `llm_rs2` in `$XDG_CACHE_HOME`, else in `~/.cache`. A shell on Android
/// has no home: there it is `llm_rs2-cache` in `$TMPDIR`, else in `/data/local/tmp`.
pub fn cache_directory() -> Option<PathBuf> {
    cache_directory_of(cfg!(target_os = "android"), &|name| env::var_os(name).map(PathBuf::from))
}

fn cache_directory_of(android: bool, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let own = absolute("XDG_CACHE_HOME").or_else(|| {
        let home = absolute("HOME").filter(|home| home != Path::new("/"));
        home.map(|home| home.join(".cache"))
    });
    let shared = || absolute("TMPDIR").unwrap_or_else(|| "/data/local/tmp".into()).join("llm_rs2-cache");
    own.map(|own| own.join("llm_rs2")).or_else(|| android.then(shared))
}

/// Makes a directory that only this user may use, unless it is there; says whether what is in it is this user's alone.
///
/// # Errors
/// A link or something else than a directory; one of another user, or that others may write in; what the system answers.
pub fn private_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    // Of the directory itself, not of what a link leads to.
    let found = std::fs::symlink_metadata(path)?;
    if found.is_dir() && is_ours(&found) { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Opens a regular file that this user alone can have written.
///
/// # Errors
/// As [`private_directory`].
pub fn open_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path)?;
    let found = file.metadata()?;
    if found.is_file() && is_ours(&found) { Ok(file) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Whether something belongs to this user, and no other may write it.
fn is_ours(found: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // SAFETY: the call has no arguments, touches no memory and cannot fail.
        let user = unsafe { libc::geteuid() };
        found.uid() == user && found.mode() & 0o022 == 0
    }
    #[cfg(not(unix))]
    {
        let _ = found;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_the_users_own() {
        let of = |android, variables: &[(&str, &str)]| {
            let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v));
            cache_directory_of(android, &get).map(|dir| dir.to_string_lossy().into_owned())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(false, &[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), some("/c/llm_rs2"));
        assert_eq!(of(false, &[("XDG_CACHE_HOME", "c"), ("HOME", "/h")]), some("/h/.cache/llm_rs2"));
        assert_eq!(of(false, &[("HOME", "/"), ("TMPDIR", "/t")]), None);
        assert_eq!(of(true, &[("HOME", "/"), ("TMPDIR", "/t")]), some("/t/llm_rs2-cache"));
        assert_eq!(of(true, &[]), some("/data/local/tmp/llm_rs2-cache"));
    }

    #[cfg(unix)]
    #[test]
    fn what_others_can_write_is_not_ours() {
        use std::fs::{self, Permissions};
        use std::os::unix::fs::{PermissionsExt, symlink};

        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = dir.path().join("a/b");
        private_directory(&path).unwrap();
        assert_eq!((mode(&path), mode(&dir.path().join("a"))), (0o700, 0o700));
        let file = path.join("f");
        fs::write(&file, "x").unwrap();
        for (rights, ours) in [(0o700, true), (0o755, true), (0o775, false), (0o707, false), (0o1777, false)]
        {
            fs::set_permissions(&path, Permissions::from_mode(rights)).unwrap();
            assert_eq!(private_directory(&path).is_ok(), ours, "{rights:o}");
            fs::set_permissions(&file, Permissions::from_mode(rights)).unwrap();
            assert_eq!(open_private(&file).is_ok(), ours, "{rights:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let (folder, link) = (dir.path().join("link"), path.join("link"));
        symlink(&path, &folder).unwrap();
        symlink(&file, &link).unwrap();
        assert!(private_directory(&folder).is_err() && open_private(&link).is_err());
        assert!(private_directory(&file).is_err() && open_private(&path).is_err());
    }
}
