//! Where a server listens, and the names it goes by.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use super::client::{Reply, Server, serve};

#[test]
fn a_socket_of_the_file_system_is_listened_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serve.sock");
    let shown = path.to_str().unwrap();
    let start = || {
        let mut child =
            serve(&["--uds", shown, "-t", "1"]).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let listening = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("listening")));
        assert_eq!(listening.expect("a line").unwrap(), format!("listening on unix:{shown}"));
        std::thread::spawn(move || lines.count());
        child
    };
    let ask = || {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        // No name is wrong here: no browser comes this way.
        stream.write_all(b"GET /v1/models HTTP/1.1\r\nhost: anything\r\nconnection: close\r\n\r\n").unwrap();
        let reply = Reply::read(stream);
        assert_eq!((reply.status, &reply.json()["data"][0]["id"]), (200, &"demo".into()));
    };
    let mut first = start();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    ask();
    let second = serve(&["--uds", shown]).output().unwrap();
    let why = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && why.contains("a server does already"), "{why}");
    ask();
    // It is killed, and leaves its socket; the next one takes its place, and cleans up.
    first.kill().and_then(|()| first.wait().map(drop)).unwrap();
    assert!(path.exists());
    let mut next = start();
    ask();
    // SAFETY: a child that was not waited for has this id still.
    unsafe { libc::kill(i32::try_from(next.id()).unwrap(), libc::SIGTERM) };
    assert!(next.wait().unwrap().success());
    assert!(!path.exists());
    for args in [["--uds", shown, "--port", "1"], ["--uds", shown, "--host", "::1"]] {
        assert_eq!(serve(&args).output().unwrap().status.code(), Some(2));
    }
}

#[test]
fn pages_whose_name_comes_to_point_here_are_refused() {
    let server = Server::start(&["--allowed-host", "chat.example.com"]);
    let status = |host: &str, path: &str| {
        let mut stream = server.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        Reply::read(stream)
    };
    for host in ["localhost", "127.0.0.1:8080", "[::1]", "chat.example.com:443", "CHAT.example.com"] {
        assert_eq!(status(host, "/v1/models").status, 200, "{host}");
    }
    for (path, pointer) in [
        ("/", "/error/message"),
        ("/v1/models", "/error/message"),
        ("/api/tags", "/error"),
        ("/v1/messages", "/error/message"),
    ] {
        let reply = status("evil.example:8080", path);
        assert_eq!(reply.status, 403, "{path}");
        let value = reply.json();
        let message = value.pointer(pointer).and_then(|message| message.as_str()).unwrap_or_default();
        assert!(message.contains("'evil.example'") && message.contains("--allowed-host"), "{value}");
    }
    // Whoever listens for other machines has names that are not known here.
    let open = Server::start(&["--host", "0.0.0.0", "--api-key", "k"]);
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", open.address.port())).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: my-machine.lan\r\nconnection: close\r\n\r\n").unwrap();
    assert_eq!(Reply::read(stream).status, 200);
}
