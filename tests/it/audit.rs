//! The book: one record for each request, durable, and nobody rewrites it unseen.

use http::Request;
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use testkit::{App, Case, Log, Process, Tenant};

#[test]
fn the_log_verifies_and_has_every_request_once() {
    let host = Case::guest("echo").quota(3).start();
    for _ in 0..5 {
        host.ask(Request::get("/"));
    }
    let outcomes: Vec<String> = host.log().records().iter().map(|record| record.outcome()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "answered:200").count(), 3, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "limited").count(), 2, "{outcomes:?}");
}

#[test]
fn a_client_that_leaves_is_recorded_as_gone_and_its_guest_is_stopped() {
    let host = Case::guest("slow_body").start();
    host.block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(host.address()).await.unwrap();
        stream.write_all(b"GET /?n=1000&ms=20 HTTP/1.1\r\nhost: acme.test\r\n\r\n").await.unwrap();
        let mut some = [0; 64];
        stream.read_exact(&mut some).await.unwrap();
    });
    let log = host.log();
    // Stopping waits for what runs; twenty seconds of body would not be waited for.
    let _site = host.stop();
    let outcomes: Vec<String> = log.records().iter().map(|record| record.outcome()).collect();
    assert!(outcomes.contains(&"abandoned".to_owned()), "{outcomes:?}");
}

#[test]
fn a_log_continues_after_a_restart() {
    let host = Case::guest("echo").start();
    host.ask(Request::get("/"));
    let site = host.stop();
    let before = Log::of(site.path()).verify().size;
    let process = Process::again(site);
    let answered = process.block_on(one(&process, 0));
    assert_eq!(answered.unwrap().0, 200);
    let after = Log::of(process.kill().path()).verify().size;
    assert!(after > before, "{before} {after}");
}

/// One request; its id once the whole response was there.
async fn one(process: &Process, number: usize) -> Option<(u16, String)> {
    use http_body_util::BodyExt;
    let request = Request::get(format!("http://{}/?n={number}", process.address()))
        .header("host", "acme.test")
        .body(http_body_util::Full::default())
        .unwrap();
    let response = process.client().request(request).await.ok()?;
    let id = response.headers().get("tollgate-request-id")?.to_str().ok()?.to_owned();
    let status = response.status().as_u16();
    response.into_body().collect().await.ok()?;
    Some((status, id))
}

/// The host is killed while eight clients ask as fast as they can. Whoever had a whole response has a record;
/// nobody has two; and those that were let in and not answered have one that says so.
#[test]
fn after_kill_9_under_load_every_acknowledged_record_is_there() {
    let apps = Tenant::new("acme")
        .app(App::guest("echo"))
        .app(App::guest("slow_body").named("slow").route("path = \"/slow\""));
    let process = Arc::new(Case::new().tenant(apps).spawn());
    let mut open = std::net::TcpStream::connect(process.address()).unwrap();
    open.write_all(b"GET /slow?n=1000000&ms=20 HTTP/1.1\r\nhost: acme.test\r\n\r\n").unwrap();
    let unanswered = request_id(&mut open);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let (process, stop, done) = (process.clone(), stop.clone(), done.clone());
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let Some((200, id)) = process.block_on(one(&process, client)) else { break };
                    acknowledged.push(id);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            })
        })
        .collect();
    while done.load(Ordering::Relaxed) < 300 {
        std::thread::yield_now();
    }
    // SIGKILL goes out while all eight are at work; they end by themselves when their connections break.
    kill_9(process.id());
    let acknowledged: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    stop.store(true, Ordering::Relaxed);
    let site = Arc::into_inner(process).unwrap().kill();

    let process = Process::again(site);
    assert_eq!(process.block_on(one(&process, 0)).unwrap().0, 200, "it serves again");
    let site = process.kill();
    let log = Log::of(site.path());
    log.verify();
    let mut count: HashMap<String, usize> = HashMap::new();
    let mut interrupted = HashSet::new();
    for record in log.records() {
        let id = record.text("request_id").to_owned();
        if record.outcome() == "interrupted" {
            interrupted.insert(id.clone());
        }
        *count.entry(id).or_default() += 1;
    }
    let lost: Vec<&String> = acknowledged.iter().filter(|id| !count.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged requests have no record", lost.len(), acknowledged.len());
    let twice: Vec<_> = count.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "more than one record: {twice:?}");
    assert!(interrupted.contains(&unanswered), "{unanswered} was let in and is not among {interrupted:?}");
    let both = acknowledged.iter().filter(|id| interrupted.contains(*id)).count();
    assert_eq!(both, 0, "an acknowledged request is not interrupted");
}

/// Reads a response's head, and says which request it answers.
fn request_id(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let id = head.lines().find_map(|line| line.strip_prefix("tollgate-request-id: "));
    id.expect(&head).to_owned()
}

fn kill_9(id: u32) {
    let status = std::process::Command::new("kill").args(["-9", &id.to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_flipped_bit_in_the_log_is_found() {
    let host = Case::guest("echo").start();
    for _ in 0..3 {
        host.ask(Request::get("/"));
    }
    let site = host.stop();
    let entries = walk(&site.path().join("log/tile"));
    assert!(!entries.is_empty());
    for file in entries {
        let whole = std::fs::read(&file).unwrap();
        let mut bent = whole.clone();
        let middle = bent.len() / 2;
        bent[middle] ^= 1;
        std::fs::write(&file, bent).unwrap();
        let found = std::panic::catch_unwind(|| Log::of(site.path()).verify());
        assert!(found.is_err(), "a flipped bit in {} was not found", file.display());
        std::fs::write(&file, whole).unwrap();
    }
    Log::of(site.path()).verify();
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}
