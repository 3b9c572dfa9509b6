//! A hub as Hugging Face's is seen from outside: a listing, and files that another host sends.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What goes wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    /// The listing has other digests than the files.
    Digests,
    /// Each connection ends after so many bytes of a file.
    Cut(usize),
    /// A file stops after so many bytes, and its connection stays.
    Hang(usize),
    /// The rest of a file is asked for, and all of it is sent.
    NoRanges,
    /// Whoever brings no token is sent away.
    Token,
    /// The status of every answer.
    Status(u16),
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub range: Option<String>,
    pub token: Option<String>,
}

/// The hub, and the host that it sends to for large files.
pub struct Hub {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// Paths in the only repository, `a/b`.
    files: Vec<(&'static str, Vec<u8>)>,
    fault: Mutex<Fault>,
    /// Of the hub, and of the other host.
    asked: [Mutex<Vec<Asked>>; 2],
    other: SocketAddr,
}

impl Hub {
    pub fn start(files: Vec<(&'static str, Vec<u8>)>) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [address, other] = [0, 1].map(|at| listeners[at].local_addr().unwrap());
        let (fault, asked) = (Mutex::new(Fault::Nothing), [Mutex::default(), Mutex::default()]);
        let state = Arc::new(State { files, fault, asked, other });
        for (at, listener) in listeners.into_iter().enumerate() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let state = Arc::clone(&state);
                    // Whoever asks may go at any time.
                    std::thread::spawn(move || state.answer(at, stream));
                }
            });
        }
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn fail(&self, fault: Fault) {
        *self.state.fault.lock().unwrap() = fault;
    }

    /// The requests to the hub itself, or to the other host, since the last time.
    pub fn asked(&self, other: bool) -> Vec<Asked> {
        std::mem::take(&mut *self.state.asked[usize::from(other)].lock().unwrap())
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl State {
    fn answer(&self, at: usize, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
        let path = lines.next()?.split(' ').nth(1)?.to_owned();
        let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let header = |name: &str| {
            let mut fields = headers.iter().filter_map(|line| line.split_once(": "));
            fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let asked = Asked { range: header("range"), token: header("authorization") };
        self.asked[at].lock().unwrap().push(asked.clone());
        let fault = *self.fault.lock().unwrap();
        let mut status = |line: &str, headers: &str| {
            write!(stream, "HTTP/1.1 {line}\r\ncontent-length: 0\r\nconnection: close\r\n{headers}\r\n").ok()
        };
        match fault {
            Fault::Status(number) => return status(&format!("{number} No"), ""),
            Fault::Token if at == 0 && asked.token.as_deref() != Some("Bearer hf_secret") => {
                return status("401 Unauthorized", "");
            }
            _ => {}
        }
        if at == 0 && path == "/api/models/a/b/tree/main?recursive=1" {
            return send(&mut stream, "200 OK", "", self.listing(fault).to_string().as_bytes(), None);
        }
        let name = path.strip_prefix(if at == 0 { "/a/b/resolve/main/" } else { "/blobs/" });
        let Some((_, bytes)) = self.files.iter().find(|(path, _)| Some(*path) == name) else {
            return status("404 Not Found", "");
        };
        if at == 0 && is_large(bytes) {
            return status("302 Found", &format!("location: http://{}/blobs/{}\r\n", self.other, name?));
        }
        let from = asked.range.filter(|_| fault != Fault::NoRanges);
        let from =
            from.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        let Some(from) = from else { return send(&mut stream, "200 OK", "", bytes, Some(fault)) };
        let range = format!("content-range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
        send(&mut stream, "206 Partial Content", &range, &bytes[from..], Some(fault))
    }

    fn listing(&self, fault: Fault) -> Value {
        let file = |(path, bytes): &(&str, Vec<u8>)| {
            let mut file =
                json!({ "type": "file", "path": path, "size": bytes.len(), "oid": "0".repeat(40) });
            if is_large(bytes) {
                let of = if fault == Fault::Digests { b"something else" } else { bytes.as_slice() };
                file["lfs"] = json!({ "oid": sha256(of), "size": bytes.len(), "pointerSize": 134 });
            }
            file
        };
        self.files.iter().map(file).collect()
    }
}

/// What the hub has elsewhere, with a digest.
fn is_large(bytes: &[u8]) -> bool {
    bytes.len() > 50_000
}

fn send(stream: &mut TcpStream, line: &str, headers: &str, bytes: &[u8], fault: Option<Fault>) -> Option<()> {
    let length = bytes.len();
    let head = format!("HTTP/1.1 {line}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    match fault {
        Some(Fault::Cut(most)) => stream.write_all(&bytes[..most.min(length)]).ok(),
        Some(Fault::Hang(most)) => {
            stream.write_all(&bytes[..most.min(length)]).ok()?;
            // One byte after the other, so that whoever reads can see that it is not wanted any longer.
            for byte in bytes.get(most..).unwrap_or_default() {
                std::thread::sleep(Duration::from_millis(50));
                stream.write_all(&[*byte]).ok()?;
            }
            Some(())
        }
        _ => stream.write_all(bytes).ok(),
    }
}
