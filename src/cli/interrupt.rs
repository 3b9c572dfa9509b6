//! Signals. Ctrl-C (SIGINT) ends an answer; SIGTERM and SIGHUP end the program, which keeps first what is to be kept.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use super::terminal;

/// Exit code after Ctrl-C, as shells give it: 128 + SIGINT.
pub const EXIT_CODE: u8 = 130;

/// Interrupts in the middle of an answer that do not end the process: a second one comes easily from impatience.
const PATIENCE: u32 = 2;

/// The signals that are listened to.
const SIGNALS: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Interrupts that only stop a text; the one after them ends the process.
static LEFT: AtomicU32 = AtomicU32::new(0);
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Whether the main thread looks at [`ending`] before long; else a signal ends the process at once.
static GUARDED: AtomicBool = AtomicBool::new(false);

/// Whether an interrupt too waits for that: in a conversation, which is worth more than a text.
static TALKS: AtomicBool = AtomicBool::new(false);

/// The signal that ends the program, or 0.
static ENDING: AtomicI32 = AtomicI32::new(0);

/// What wakes whoever waits for a line.
static WAITING: Mutex<Option<Wake>> = Mutex::new(None);

/// See [`wait_for_signal`].
pub type Wake = Box<dyn FnOnce() + Send>;

/// Where the handler writes the number of a signal.
static PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn note(signal: libc::c_int) {
    let number = signal as u8;
    // SAFETY: write is allowed in a handler; the pointer is to one byte of this frame. errno is put back, as whoever is
    // interrupted may be about to read it.
    unsafe {
        let place = errno();
        let before = *place;
        libc::write(PIPE.load(Ordering::Relaxed), (&raw const number).cast(), 1);
        *place = before;
    }
}

#[cfg(target_os = "android")]
use libc::__errno as errno;
#[cfg(not(target_os = "android"))]
use libc::__errno_location as errno;

/// Starts to listen. A signal ends the process at once, but where a guard of this module says otherwise.
///
/// # Errors
/// What the system answers.
pub fn listen() -> io::Result<()> {
    // Beyond a limit of the size of files (ulimit -f) a write fails, which is reported, and does not end the program.
    // SAFETY: ignoring a signal needs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two integers, which the function fills.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    PIPE.store(ends[1], Ordering::Relaxed);
    let read = ends[0];
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        loop {
            let mut number = 0u8;
            // SAFETY: the pointer is to one byte that lives during the call; the descriptor is never closed.
            match unsafe { libc::read(read, (&raw mut number).cast(), 1) } {
                1 => take(number.into()),
                0 => return,
                _ => {}
            }
        }
    })?;
    for signal in SIGNALS {
        // SAFETY: all zero bytes are a valid value of this type; the handler does only what a handler may.
        let failed = unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut before);
            // Who starts a program under nohup wants it to live on.
            if signal == libc::SIGHUP && before.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = note as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut()) != 0
        };
        if failed {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// What a signal does.
fn take(signal: i32) {
    let waiting = WAITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    if let Some(wake) = waiting {
        ENDING.store(signal, Ordering::SeqCst);
        wake();
        return;
    }
    let less = |left: u32| left.checked_sub(1);
    let is_interrupt = signal == libc::SIGINT;
    let stops = is_interrupt && LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
    if !stops {
        let guard = if is_interrupt { &TALKS } else { &GUARDED };
        // Who insists does not wait for what takes so long.
        let insists = is_interrupt && ending() == Some(signal);
        if insists || !guard.load(Ordering::SeqCst) {
            end_now(signal);
        }
        ENDING.store(signal, Ordering::SeqCst);
    }
    REQUESTED.store(true, Ordering::SeqCst);
}

fn end_now(signal: i32) {
    terminal::restore();
    let _ = io::stdout().flush();
    std::process::exit(128 + signal);
}

/// From now on an interrupt ends the text first, and other signals the program when what is to be kept is kept.
pub fn generation_starts() {
    LEFT.store(1, Ordering::SeqCst);
    GUARDED.store(true, Ordering::SeqCst);
}

/// From now on a signal that ends the program waits until what is to be kept is kept.
pub fn conversation_starts() {
    GUARDED.store(true, Ordering::SeqCst);
    TALKS.store(true, Ordering::SeqCst);
}

/// Until the guard goes an interrupt ends the answer, and not the process.
pub fn answer_starts() -> Answering {
    REQUESTED.store(ending().is_some(), Ordering::SeqCst);
    LEFT.store(PATIENCE, Ordering::SeqCst);
    Answering
}

/// An answer is on its way.
pub struct Answering;

impl Drop for Answering {
    fn drop(&mut self) {
        LEFT.store(0, Ordering::SeqCst);
        REQUESTED.store(false, Ordering::SeqCst);
    }
}

/// The next signal ends the program: it calls `wake`, and [`ending`] gives it.
pub fn wait_for_signal(wake: Wake) {
    *WAITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(wake);
}

/// The line has come.
pub fn wait_no_longer() {
    WAITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
}

/// The terminal is gone, which counts as SIGHUP: that comes too, but maybe later.
pub fn hung_up() {
    let _ = ENDING.compare_exchange(0, libc::SIGHUP, Ordering::SeqCst, Ordering::SeqCst);
}

/// Waits until something can be written to a file or a pipe; false if a signal ends the program before that.
pub fn wait_for_room(fd: libc::c_int) -> bool {
    loop {
        let mut ready = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
        // SAFETY: the pointer is to one structure that lives during the call.
        let found = unsafe { libc::poll(&raw mut ready, 1, 100) };
        // What cannot be waited for is for the write to report.
        let interrupted = found < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
        if found > 0 || found < 0 && !interrupted {
            return true;
        }
        if ending().is_some() {
            return false;
        }
    }
}

/// Whether a text is to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// The signal that ends the program.
pub fn ending() -> Option<i32> {
    Some(ENDING.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
}

/// The exit code of a program that a signal ends: 128 and its number.
pub fn ending_code() -> Option<ExitCode> {
    ending().and_then(|signal| u8::try_from(128 + signal).ok()).map(ExitCode::from)
}
