//! Where the server listens: an address, or a socket in the file system.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::args::Args;
use crate::server::Socket;

/// What is listened on; a socket's file goes with this value.
pub struct Listening {
    /// How it is called in messages.
    pub name: String,
    _file: Option<SocketFile>,
}

impl Listening {
    /// Listens where `args` say.
    ///
    /// # Errors
    /// A place that is taken or not allowed.
    pub fn open(args: &Args) -> Result<(Socket, Self)> {
        allow_many();
        if let Some(path) = &args.uds {
            let (listener, file) = bind(path)?;
            let name = format!("unix:{}", path.display());
            return Ok((Socket::Unix(listener), Self { name, _file: Some(file) }));
        }
        let address = SocketAddr::new(args.host, args.port);
        let listener = TcpListener::bind(address).with_context(|| {
            format!("cannot listen on {address}; choose another --host or --port, or end what listens there")
        })?;
        let address = listener.local_addr().context("the system does not say where this server listens")?;
        Ok((Socket::Tcp(listener), Self { name: format!("http://{address}"), _file: None }))
    }
}

/// Connections are files: as many as the system allows this process, where it would have to ask for them.
fn allow_many() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a whole structure, which lives as long as they run. A failure leaves the limit as it was.
    unsafe {
        let known = libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0;
        let most = limit.rlim_max.min(1 << 16);
        if known && limit.rlim_cur < most {
            limit.rlim_cur = most;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// A socket's file, which is removed unless another has taken its place.
struct SocketFile {
    path: PathBuf,
    id: Option<(u64, u64)>,
}

fn id(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.id.is_some() && id(&self.path) == self.id {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A socket that this user alone can connect to. What a server that has died left is replaced.
fn bind(path: &Path) -> Result<(UnixListener, SocketFile)> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot listen on '{shown}'")),
        Ok(meta) if !meta.file_type().is_socket() => {
            bail!("cannot listen on '{shown}': it is there and is no socket; choose another --uds")
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => {
                bail!("cannot listen on '{shown}': a server does already; end it, or choose another --uds")
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot find out whether a server listens on '{shown}'"));
            }
        },
    }
    let listener = bind_aside(path).with_context(|| {
        format!("cannot listen on '{shown}'; --uds needs a short path in a directory that can be written to")
    })?;
    Ok((listener, SocketFile { path: path.to_owned(), id: id(path) }))
}

/// A socket that has its mode before it has its name: it is made in a directory that no other user can enter.
fn bind_aside(path: &Path) -> io::Result<UnixListener> {
    // A longer one could not be connected to.
    unix::net::SocketAddr::from_pathname(path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let aside = parent.join(format!(".{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&aside)?;
    let socket = aside.join("s");
    let bound = UnixListener::bind(&socket).and_then(|listener| {
        fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
        fs::rename(&socket, path)?;
        Ok(listener)
    });
    if bound.is_err() {
        let _ = fs::remove_file(&socket);
    }
    let _ = fs::remove_dir(&aside);
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_this_users_and_goes_with_its_server() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let (listener, file) = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let why = bind(&path).err().unwrap().to_string();
        assert!(why.contains("a server does already"), "{why}");
        // It dies, and leaves its file.
        drop(listener);
        let (_listener, newer) = bind(&path).unwrap();
        drop(file);
        assert!(path.exists(), "it is another's now");
        drop(newer);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("text");
        fs::write(&path, "x").unwrap();
        let why = |path: &Path| format!("{:#}", bind(path).err().unwrap());
        assert!(why(&path).contains("is no socket"));
        assert_eq!(fs::read(&path).unwrap(), b"x");
        assert!(why(&directory.path().join("no/s")).contains("directory"));
        assert!(why(&directory.path().join("s".repeat(200))).contains("short path"));
    }
}
