//! What the terminal is like: whether it has colours, and how it was before a line was edited on it.

use std::env;
use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

/// How the terminal was when [`remember`] was called.
static BEFORE: OnceLock<libc::termios> = OnceLock::new();

/// Remembers how the terminal is set, for [`restore`]: whoever edits a line sets it otherwise meanwhile.
pub fn remember() {
    let mut now = std::mem::MaybeUninit::uninit();
    // SAFETY: the pointer is to memory of the type that the function fills, and it is read only if it says so.
    let known = unsafe { libc::tcgetattr(libc::STDIN_FILENO, now.as_mut_ptr()) } == 0;
    if known {
        // SAFETY: the call has succeeded, so that every field is set.
        let now = unsafe { now.assume_init() };
        let _ = BEFORE.set(now);
    }
}

/// Sets the terminal as it was remembered, for a process that ends in the middle of a line.
pub fn restore() {
    if let Some(before) = BEFORE.get() {
        // SAFETY: the pointer is to a value that lives for ever; the function only reads it.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, before) };
    }
}

/// Whether the terminal that lines come from has been closed.
pub fn is_gone() -> bool {
    let mut now = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the pointer is to memory of the type that the function fills; nothing is read of it.
    let known = unsafe { libc::tcgetattr(libc::STDIN_FILENO, now.as_mut_ptr()) } == 0;
    !known && std::io::Error::last_os_error().raw_os_error() == Some(libc::EIO)
}

/// Whether notes and prompts may have colors: on a terminal that supports them, unless the user wants none
/// (`--no-color`, or `NO_COLOR` as of <https://no-color.org>).
pub fn colours(no_color: bool) -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    !no_color && !set("NO_COLOR") && !dumb && stderr().is_terminal()
}

/// `text`, dimmed where there are colours.
pub fn dimmed(text: &str, colours: bool) -> String {
    if colours { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
}
