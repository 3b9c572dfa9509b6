//! Closed pipes, full disks, Ctrl-C.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use super::program::{raw, tiny};

/// Text without end, as far as the context goes.
const ENDLESS: [&str; 9] =
    ["--ignore-eos", "--max-seq-len", "100000", "--kv-type", "f16", "-p", "t1", "--seed", "7"];

fn endless(stdout: Stdio) -> Child {
    let mut command = raw();
    command.arg("-m").arg(tiny()).args(ENDLESS).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

fn stderr(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut text).expect("UTF-8");
    text
}

fn read_some(child: &mut Child, bytes: usize) -> BufReader<std::process::ChildStdout> {
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut some = vec![0; bytes];
    out.read_exact(&mut some).expect("text streams before the end");
    out
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = endless(Stdio::piped());
    drop(read_some(&mut child, 20));
    let text = stderr(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    assert!(!text.contains("error") && !text.contains("panicked"), "{text}");
}

#[test]
fn a_full_disk_is_reported() {
    let full = File::options().write(true).open("/dev/full").expect("Linux has /dev/full");
    let mut child = endless(full.into());
    let text = stderr(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(1), "{text}");
    assert!(text.contains("error: cannot write the text to standard output: No space left"), "{text}");
}

#[test]
fn ctrl_c_ends_the_text_prints_the_figures_and_exits_with_130() {
    let mut child = endless(Stdio::piped());
    let mut out = read_some(&mut child, 20);
    let pid = i32::try_from(child.id()).expect("a process id");
    // SAFETY: kill takes two integers and touches no memory; the process is our own child and not yet waited
    // for, so that its id cannot belong to anybody else.
    let sent = unsafe { libc::kill(pid, libc::SIGINT) };
    assert_eq!(sent, 0);
    let mut rest = String::new();
    while out.read_line(&mut rest).expect("UTF-8") > 0 {}
    let text = stderr(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(130), "{text}");
    assert!(rest.ends_with('\n'), "the last line is ended: {rest:?}");
    assert!(text.contains("interrupted") && text.contains("tok/s"), "{text}");
}
