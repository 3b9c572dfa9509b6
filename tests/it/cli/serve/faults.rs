//! What clients and machines do wrong harms nobody else.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Reply, Server};

/// A text without an end of its own.
fn long(tokens: usize) -> Vec<u8> {
    json!({"prompt": "Once", "ignore_eos": true, "stream": true, "n_predict": tokens})
        .to_string()
        .into_bytes()
}

/// It answers as ever, and has not panicked.
#[track_caller]
fn is_well(server: &Server) {
    let reply = server.ask("/completion", &json!({"prompt": "x", "n_predict": 1, "ignore_eos": true}));
    assert_eq!(reply["tokens_predicted"], 1);
}

#[track_caller]
fn ends_well(server: Server) {
    is_well(&server);
    server.signal(libc::SIGTERM);
    let (status, lines) = server.end();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains("panicked")), "{lines:#?}");
}

/// Bytes of memory of a process.
fn resident(server: &Server) -> usize {
    let pages = std::fs::read_to_string(format!("/proc/{}/statm", server.id())).expect("Linux says it");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
}

#[test]
fn a_client_may_close_at_any_event() {
    let server = Server::start(&[]);
    for path in ["/completion", "/v1/completions", "/api/generate"] {
        for events in 0..4 {
            let body = json!({
                "model": "demo", "prompt": "Once", "stream": true, "ignore_eos": true, "n_predict": 400,
            });
            let mut body = body;
            if path == "/api/generate" {
                body = json!({"model": "demo", "prompt": "Once", "options": {"num_predict": 400}});
            }
            let mut reader = BufReader::new(server.send("POST", path, &[], body.to_string().as_bytes()));
            let mut line = String::new();
            let mut seen = 0;
            while seen < events && reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                seen += usize::from(line.contains('{'));
                line.clear();
            }
        }
        // In the middle of its request.
        let mut stream = server.connect();
        let _ = stream.write_all(
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{{").as_bytes(),
        );
    }
    server.wait("an end of all texts", |server| server.metric("llm_rs2_active_texts") == 0.0);
    ends_well(server);
}

#[test]
fn slow_readers_hold_up_nobody() {
    let server = Server::start(&["--parallel", "4"]);
    // They read nothing of texts as long as the context.
    let slow: Vec<TcpStream> = (0..3).map(|_| server.send("POST", "/completion", &[], &long(480))).collect();
    let start = Instant::now();
    is_well(&server);
    assert!(start.elapsed() < Duration::from_secs(60));
    for mut stream in slow {
        // What they get when they come to it is whole.
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.contains("\"stop\":true"));
    }
    ends_well(server);
}

#[test]
fn a_thousand_connections_are_no_harm() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a whole structure, which lives as long as they run.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_cur.max(limit.rlim_max.min(1 << 16));
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
    // More than may be open at once is none of the server's doing.
    let most = 1000.min(usize::try_from(limit.rlim_cur).unwrap_or(1000).saturating_sub(400));
    let server = Server::start(&[]);
    let mut open = Vec::new();
    for at in 0..most {
        let mut stream = TcpStream::connect(server.address).expect("it takes it");
        // Idle ones, and halves of requests.
        let half = b"POST /completion HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{\"prompt\":";
        let _ = stream.write_all(&half[..at % half.len()]);
        open.push(stream);
    }
    assert!(most >= 200, "{most} connections");
    is_well(&server);
    // 100 that ask at once: some get an answer, the others hear when to come again.
    let body = json!({"prompt": "x", "n_predict": 1, "ignore_eos": true}).to_string();
    let asked: Vec<_> = (0..100).map(|_| server.send("POST", "/completion", &[], body.as_bytes())).collect();
    let replies: Vec<Reply> = asked.into_iter().map(Reply::read).collect();
    let of = |status| replies.iter().filter(|reply| reply.status == status).count();
    assert!(of(200) >= 8 && of(200) + of(429) == 100, "{} and {}", of(200), of(429));
    assert!(replies.iter().all(|reply| reply.status == 200 || reply.header("retry-after").is_some()));
    drop(open);
    ends_well(server);
}

#[test]
fn a_body_without_end_is_refused_and_takes_no_memory() {
    let server = Server::start(&["--max-body-mb", "1"]);
    is_well(&server);
    let before = resident(&server);
    let block = vec![b' '; 1 << 20];
    let send = |head: &str, frame: bool| {
        let mut stream = server.connect();
        stream
            .write_all(
                format!(
                    "POST /completion HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{head}\r\n\r\n"
                )
                .as_bytes(),
            )
            .unwrap();
        for _ in 0..100 {
            let sent =
                if frame { stream.write_all(format!("{:x}\r\n", block.len()).as_bytes()) } else { Ok(()) };
            let sent = sent.and_then(|()| stream.write_all(&block));
            // The server need not hear it to the end.
            if sent.and_then(|()| if frame { stream.write_all(b"\r\n") } else { Ok(()) }).is_err() {
                break;
            }
        }
        let mut text = Vec::new();
        match stream.read_to_end(&mut text) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            Ok(_) => assert!(text.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&text)),
        }
    };
    send("content-length: 104857600", false);
    send("transfer-encoding: chunked", true);
    let grown = resident(&server).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    // Noise in place of JSON and of text.
    for body in
        [&b"\xff\xfe{"[..], b"{\"prompt\": \"\xc3\"}", b"{\"prompt\": \"\\ud800\"}", b"[[[[[[[[", b"", b"\0"]
    {
        assert_eq!(server.request("POST", "/completion", &[], body).status, 400);
    }
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert_eq!(server.request("POST", "/completion", &[], &deep).status, 400);
    ends_well(server);
}

#[test]
fn a_server_that_is_killed_comes_back() {
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port().to_string()
    };
    for _ in 0..2 {
        let server = Server::start(&["--port", &port]);
        let mut asked: Vec<_> = (0..4).map(|_| server.send("POST", "/completion", &[], &long(400))).collect();
        server.wait("texts", |server| server.metric("llm_rs2_active_texts") > 0.0);
        server.signal(libc::SIGKILL);
        let (status, _) = server.end();
        assert_eq!(status.code(), None);
        for stream in &mut asked {
            // An end, and no wait.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    let server = Server::start(&["--port", &port]);
    ends_well(server);
}

#[test]
fn many_requests_leave_no_memory_behind() {
    // Nothing is kept of texts that have ended, so that all that grows is a leak.
    let server = Server::start(&["--kept-texts", "0", "--log", "off"]);
    let ask = |times: usize| {
        let mut stream = server.connect();
        let body = json!({"prompt": "Once upon", "n_predict": 1, "ignore_eos": true}).to_string();
        let request = format!(
            "POST /completion HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        for _ in 0..times {
            stream.write_all(request.as_bytes()).unwrap();
            let (mut line, mut length) = (String::new(), 0);
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line).unwrap();
                length = line.strip_prefix("content-length: ").map_or(length, |n| n.trim().parse().unwrap());
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
        }
    };
    let times = std::env::var("LLM_RS2_REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    ask(times.min(100));
    let before = resident(&server);
    ask(times);
    let after = resident(&server);
    assert!(after < before + (2 << 20), "{before} bytes became {after}");
    if times > 100 {
        // It was asked for by hand.
        let _ = writeln!(std::io::stderr(), "{times} requests: {before} bytes before, {after} after");
    }
    ends_well(server);
}
