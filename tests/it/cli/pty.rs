//! The program in a terminal, and what a person sees on it.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use pty_process::blocking::{Command, Pty, open};

/// Longer than anything takes on a slow machine: what does not come at all fails the test.
const PATIENCE: Duration = Duration::from_secs(240);

const ROWS: NonZeroU16 = NonZeroU16::new(24).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(100).unwrap();

pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";
pub const BACKSPACE: &str = "\x7f";
pub const UP: &str = "\x1b[A";

/// A program with a terminal of its own.
pub struct Terminal {
    pty: Option<Arc<Pty>>,
    /// Ends the thread that reads.
    closed: Arc<AtomicBool>,
    child: Child,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// All that has come, escape codes included.
    pub raw: String,
}

impl Terminal {
    /// `generate` with these arguments; `state` is where it keeps its history, `stdout` where its answers go if not to
    /// the terminal.
    pub fn generate(args: &[&str], state: &Path, env: &[(&str, &str)], stdout: Option<Stdio>) -> Self {
        let (pty, pts) = open().expect("a terminal");
        pty.resize(pty_process::Size::new(ROWS.get(), COLUMNS.get())).expect("a size");
        let mut command = Command::new(env!("CARGO_BIN_EXE_generate"))
            .args(args)
            .env("TERM", "xterm-256color")
            .env("XDG_STATE_HOME", state)
            .env_remove("NO_COLOR")
            .env_remove("RUST_BACKTRACE")
            .envs(env.iter().copied());
        if let Some(stdout) = stdout {
            command = command.stdout(stdout);
        }
        let child = command.spawn(pts).expect("the program starts");
        let pty = Arc::new(pty);
        let (send, output) = channel();
        let reader = Arc::clone(&pty);
        let closed = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&closed);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The terminal answers with an error when no program has it open any more.
            while !done.load(Ordering::SeqCst) {
                let mut ready = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
                // SAFETY: the pointer is to one structure that lives during the call.
                if unsafe { libc::poll(&raw mut ready, 1, 50) } < 1 {
                    continue;
                }
                match (&*reader).read(&mut buffer) {
                    Ok(count @ 1..) if send.send(buffer[..count].to_vec()).is_ok() => {}
                    _ => break,
                }
            }
        });
        let screen = vt100::Parser::new(ROWS, COLUMNS, 0);
        Self { pty: Some(pty), closed, child, output, screen, raw: String::new() }
    }

    /// Presses keys.
    pub fn press(&self, keys: &str) {
        self.pty
            .as_deref()
            .expect("an open terminal")
            .write_all(keys.as_bytes())
            .expect("the terminal takes keys");
    }

    /// Types a line and presses Enter.
    pub fn enter(&self, line: &str) {
        self.press(line);
        self.press("\r");
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: i32) {
        send(&self.child, signal);
    }

    /// Closes the terminal, as if its window were closed.
    pub fn close(&mut self) {
        self.pty = None;
        self.closed.store(true, Ordering::SeqCst);
    }

    /// What stands on the screen.
    pub fn screen(&self) -> String {
        self.screen.screen().contents()
    }

    /// Waits until the screen is as `wanted` says.
    #[track_caller]
    pub fn wait(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            if wanted(&self.screen()) {
                return;
            }
            match self.output.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(bytes) => {
                    self.screen.process(&bytes);
                    self.raw.push_str(&String::from_utf8_lossy(&bytes));
                }
                Err(e) => panic!("{what} did not come ({e}); on the screen:\n{}", self.screen()),
            }
        }
    }

    /// Waits until `text` stands on the screen.
    #[track_caller]
    pub fn see(&mut self, text: &str) {
        self.wait(text, |screen| screen.contains(text));
    }

    /// Waits until the program asks for a line, and nothing is typed yet.
    #[track_caller]
    pub fn prompt(&mut self) {
        self.wait("the prompt", |screen| screen.lines().last().is_some_and(|line| line.trim_end() == ">"));
    }

    /// Waits for the end of the program, and gives its exit code.
    #[track_caller]
    pub fn code(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            match self.output.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(bytes) => {
                    self.screen.process(&bytes);
                    self.raw.push_str(&String::from_utf8_lossy(&bytes));
                }
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().expect("it ends").code(),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it does not end; on the screen:\n{}", self.screen())
                }
            }
        }
    }
}

/// Sends a signal to a child that has not been waited for.
pub fn send(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).expect("a process id");
    // SAFETY: kill takes two integers and touches no memory; the process is our own child and not yet waited for, so
    // that its id cannot belong to anything else.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
