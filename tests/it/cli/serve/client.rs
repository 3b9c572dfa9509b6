//! A server as a process, and a client that sees what is really sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running server; it is killed when this value goes.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    lines: Mutex<Receiver<String>>,
}

/// The program.
pub fn serve(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serve"));
    command.args(args).env_remove("RUST_BACKTRACE").env_remove("LLM_RS2_API_KEY");
    command.env_remove("HF_ENDPOINT").env_remove("HF_TOKEN").stdin(Stdio::null());
    let heard = || {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
            // SAFETY: signal is allowed between fork and exec, and the default needs no handler.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: the closure calls nothing but signal, and touches no memory.
    unsafe { command.pre_exec(heard) };
    command
}

impl Server {
    /// One that is ready, on a port that was free unless `args` name one.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// The same, with more in its environment.
    pub fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let port = if args.contains(&"--port") { &[][..] } else { &["--port", "0"] };
        let mut command = serve(&["-t", "2"]);
        command.args(port).args(args).envs(variables.iter().copied());
        Self::of(command).unwrap_or_else(|lines| panic!("no server: {lines:#?}"))
    }

    /// One that `command` starts, when it is ready; or what it has said instead.
    pub fn of(mut command: Command) -> Result<Self, Vec<String>> {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut seen = Vec::new();
        let start = Instant::now();
        loop {
            let Ok(line) = lines.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) else {
                let _ = child.kill().and_then(|()| child.wait().map(drop));
                return Err(seen);
            };
            if let Some(address) = line.strip_prefix("listening on http://") {
                let address = address.parse().expect("an address");
                return Ok(Self { child, address, lines: Mutex::new(lines) });
            }
            seen.push(line);
        }
    }

    /// Waits for a line with this part; those before it are lost.
    #[track_caller]
    pub fn line(&self, part: &str) -> String {
        let lines = self.lines.lock().expect("no test has failed with it");
        let start = Instant::now();
        loop {
            match lines.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
                Ok(line) if line.contains(part) => return line,
                Ok(_) => {}
                Err(error) => panic!("no line with {part}: {error}"),
            }
        }
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request, and leaves the answer to be read.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        // A server that refuses a body need not read it.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        stream
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        Reply::read(self.send(method, path, headers, body))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.request("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// The value of an answer that has to be there.
    #[track_caller]
    pub fn ask(&self, path: &str, body: &Value) -> Value {
        let reply = self.post(path, body);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// Waits until `condition` holds.
    #[track_caller]
    pub fn wait(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < PATIENCE, "{what} never came");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A number of `/metrics`.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or("0").trim().parse().expect("a number")
    }

    pub fn signal(&self, signal: i32) {
        let id = i32::try_from(self.child.id()).expect("an id");
        // SAFETY: a child that was not waited for has this id still.
        unsafe { libc::kill(id, signal) };
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end, and gives all lines since the start.
    pub fn end(mut self) -> (ExitStatus, Vec<String>) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut lines = Vec::new();
        let received = self.lines.get_mut().expect("nobody has failed with it");
        while let Ok(line) = received.recv_timeout(Duration::from_secs(5)) {
            lines.push(line);
        }
        (status, lines)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads all of it.
    pub fn read(mut stream: impl Read) -> Self {
        let mut bytes = Vec::new();
        if let Err(error) = stream.read_to_end(&mut bytes) {
            assert!(!bytes.is_empty(), "no answer: {error}");
        }
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut body = bytes[end + 4..].to_vec();
        if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
            body = unchunked(&body);
        }
        Self { status, headers, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// It has to be UTF-8: no half characters.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The values of a stream of events; the word at its end is left out.
    pub fn events(&self) -> Vec<Value> {
        let text = self.text();
        let data =
            text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
        data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
    }

    /// The values of lines.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// A body in chunks, whole; each chunk has to be there to its end.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let length = std::str::from_utf8(&rest[..end]).expect("a length");
        let length = usize::from_str_radix(length, 16).expect("a length");
        let chunk = &rest[end + 2..];
        if length == 0 {
            return body;
        }
        // A connection that is cut ends in the middle.
        body.extend_from_slice(&chunk[..length.min(chunk.len())]);
        rest = chunk.get(length + 2..).unwrap_or_default();
    }
    body
}
