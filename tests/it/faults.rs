//! Faults under a host that serves: disks that are full, dead or slow, stores that are locked or damaged, clocks that
//! jump, and a kill in the middle of a reload. The host says so, goes on by itself when the fault ends, and has a record
//! of whatever it acknowledged.

use http::Request;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::{Answer, App, Case, Log, Process, Site, Tenant, binary, guest, key, sign, sign_until};

/// System calls of a running host that go wrong on some files, until it is dropped.
struct Fault(Child);

impl Fault {
    /// `inject` is as strace has it: calls, and what becomes of them. Files are relative to the site.
    fn on(process: &Process, files: &[&str], inject: &str) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-p", &process.id().to_string()]);
        for file in files {
            strace.arg("-P").arg(process.site().path().join(file));
        }
        let calls = inject.split(':').next().unwrap();
        strace.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={inject}")]);
        let mut child = strace.stderr(Stdio::piped()).spawn().expect("these tests need `strace`");
        let mut first = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut first).unwrap();
        assert!(first.contains("attached"), "{first}");
        Self(child)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // It lets go of the host when it is interrupted.
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// Everything of the audit log that is synced.
const LOG: [&str; 3] = ["log", "log/.journal", "log/.journal.2"];

/// Asks until the answer has this status, for some seconds.
#[track_caller]
fn until(status: u16, ask: impl Fn() -> Answer) -> Answer {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = ask();
        if answer.status() == status || Instant::now() > end {
            return answer.expect_status(status);
        }
    }
}

/// Ends the host, and checks that its log has one record of each of these requests, with this outcome.
fn settle_accounts(process: Process, expected: &[(String, &str)]) -> Site {
    let stderr = process.stderr();
    assert!(!stderr.contains("panicked"), "{stderr}");
    let site = process.kill();
    let log = Log::of(site.path());
    log.verify();
    let mut outcomes: HashMap<String, Vec<String>> = HashMap::new();
    for record in log.records() {
        outcomes.entry(record.text("request_id").to_owned()).or_default().push(record.outcome());
    }
    for (id, outcome) in expected {
        assert_eq!(outcomes.get(id).map(Vec::as_slice), Some(&[(*outcome).to_owned()][..]), "{id}");
    }
    site
}

fn a_log_that_fails(inject: &str) {
    let process = Case::guest("echo").spawn();
    let before = process.get("/").expect_status(200).request_id();
    let fault = Fault::on(&process, &LOG, inject);
    let (held, refused) = std::thread::scope(|scope| {
        let held =
            scope.spawn(|| process.get("/held").expect_status(200).expect_in_body("/held").request_id());
        process.stderr_with(1, "the audit log failed");
        let refused = process.get("/refused").expect_problem(503, "audit-unavailable");
        assert!(!held.is_finished(), "acknowledged without a record");
        drop(fault);
        (held.join().unwrap(), refused)
    });
    let after = until(200, || process.get("/after")).request_id();
    let refused = (refused.request_id(), "refused:audit-unavailable");
    let answered = [before, held, after].map(|id| (id, "answered:200"));
    settle_accounts(process, &[&answered[..], &[refused]].concat());
}

#[test]
fn while_the_disk_under_the_log_is_full_nobody_is_let_in_and_nothing_is_lost() {
    a_log_that_fails("pwrite64:error=ENOSPC");
}

#[test]
fn while_the_disk_under_the_log_is_dead_nobody_is_let_in_and_nothing_is_lost() {
    a_log_that_fails("pwrite64,fdatasync,fsync,syncfs:error=EIO");
}

#[test]
fn a_slow_disk_under_the_log_slows_and_loses_nothing() {
    let process = Case::guest("echo").spawn();
    process.get("/").expect_status(200);
    let second = Duration::from_secs(1);
    let fault = Fault::on(&process, &LOG, "fdatasync:delay_enter=1000000");
    let start = Instant::now();
    let answered = std::thread::scope(|scope| {
        let ask = || process.get("/").expect_status(200).request_id();
        let all: Vec<_> = (0..20).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|one| (one.join().unwrap(), "answered:200")).collect::<Vec<_>>()
    });
    let took = start.elapsed();
    assert!(took >= second, "the disk was not slow: {took:?}");
    assert!(took < 15 * second, "one sync each, and not one for many: {took:?}");
    drop(fault);
    settle_accounts(process, &answered);
}

#[test]
fn a_request_that_cannot_be_noted_does_not_run() {
    let process = Case::guest("echo").spawn();
    process.get("/").expect_status(200);
    let fault = Fault::on(&process, &["log/.open"], "write:error=ENOSPC");
    let refused = process.get("/").expect_problem(503, "audit-unavailable").request_id();
    drop(fault);
    let after = until(200, || process.get("/")).request_id();
    settle_accounts(process, &[(refused, "refused:audit-unavailable"), (after, "answered:200")]);
}

/// `acme` counts and is closed when it can't, `open` counts and is open then, `globex` does not count.
fn counting_on_disk() -> Case {
    let counts = |name: &str, route: &str| {
        Tenant::new(name)
            .tables("[buckets.burst]\nunit = \"requests\"\nquota = 1000\nwindow = \"1m\"\nkey = [\"actor\"]")
            .app(App::guest("echo").route(&format!("buckets = [\"burst\"]\n{route}")))
    };
    Case::new()
        .gate("store = \"sqlite\"")
        .tenant(counts("acme", ""))
        .tenant(counts("open", "failure = \"open\""))
        .tenant(Tenant::new("globex").app(App::guest("echo")))
}

fn of(process: &Process, tenant: &str) -> Answer {
    process.ask(Request::get("/").header("host", format!("{tenant}.test")))
}

/// What becomes of the three while nothing can be counted, and afterwards.
fn counts_that_fail(process: Process, end: impl FnOnce()) {
    let closed = of(&process, "acme").expect_problem(503, "gate-failed").request_id();
    let open = of(&process, "open").expect_status(200).request_id();
    let neighbour = of(&process, "globex").expect_status(200).request_id();
    end();
    let after = until(200, || of(&process, "acme")).request_id();
    let opened = until(200, || of(&process, "open")).request_id();
    let answered = [&open, &neighbour, &after, &opened].map(|id| (id.clone(), "answered:200"));
    let site = settle_accounts(process, &[&answered[..], &[(closed, "refused:gate-failed")]].concat());
    let said = |id: &String| {
        let records = Log::of(site.path()).records();
        let record = records.iter().find(|record| record.text("request_id") == id).unwrap();
        record.metadata("gate").map(str::to_owned)
    };
    assert_eq!(said(&open).as_deref(), Some("failed-open"));
    assert_eq!((said(&opened), said(&neighbour)), (None, None));
}

#[test]
fn while_the_disk_under_the_counts_is_full_each_route_follows_its_failure_mode() {
    let process = counting_on_disk().spawn();
    of(&process, "acme").expect_status(200);
    let fault = Fault::on(&process, &["state/tollgate.sqlite-wal"], "pwrite64:error=ENOSPC");
    counts_that_fail(process, || drop(fault));
}

#[test]
fn while_the_disk_under_the_counts_is_dead_each_route_follows_its_failure_mode() {
    let process = counting_on_disk().spawn();
    of(&process, "acme").expect_status(200);
    let fault = Fault::on(&process, &["state/tollgate.sqlite-wal"], "pwrite64,fdatasync:error=EIO");
    counts_that_fail(process, || drop(fault));
}

#[test]
fn while_another_process_locks_the_counts_each_route_follows_its_failure_mode() {
    let process = counting_on_disk().spawn();
    of(&process, "acme").expect_status(200);
    let hold = "import sqlite3, sys\n\
                c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
                c.execute('BEGIN EXCLUSIVE')\n\
                print('held', flush=True)\n\
                sys.stdin.read()\n";
    let mut holder = Command::new("python3")
        .args(["-c", hold])
        .arg(process.site().path().join("state/tollgate.sqlite"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = [0; 4];
    holder.stdout.as_mut().unwrap().read_exact(&mut held).unwrap();
    counts_that_fail(process, || {
        drop(holder.stdin.take());
        holder.wait().unwrap();
    });
}

#[test]
fn a_damaged_database_is_named_and_the_host_does_not_start_on_it() {
    let process = counting_on_disk().spawn();
    of(&process, "acme").expect_status(200);
    let site = process.kill();
    let file = site.path().join("state/tollgate.sqlite");
    std::fs::write(&file, "not a database, and longer than the head of one: ".repeat(100)).unwrap();
    for beside in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{beside}", file.display()));
    }
    let ended = Command::new(binary()).args(["up", "--config"]).arg(site.file()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success());
    assert!(said.contains("tollgate.sqlite") && !said.contains("panicked"), "{said}");
}

#[test]
fn a_database_that_is_removed_under_the_host_takes_no_more_counts() {
    let process = counting_on_disk().spawn();
    of(&process, "acme").expect_status(200);
    std::fs::remove_file(process.site().path().join("state/tollgate.sqlite")).unwrap();
    let closed = of(&process, "acme").expect_problem(503, "gate-failed").request_id();
    of(&process, "globex").expect_status(200);
    let stderr = process.stderr();
    assert!(stderr.contains("was removed or replaced while it was open"), "{stderr}");
    let site = settle_accounts(process, &[(closed, "refused:gate-failed")]);
    let process = Process::again(site);
    of(&process, "acme").expect_status(200);
}

/// A clock that the host sees, set by how far it is from the true one, in seconds.
struct Clock(PathBuf);

impl Clock {
    fn library() -> PathBuf {
        let all = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
        let found = all.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists());
        found.expect("these tests need `faketime`")
    }

    fn set(&self, seconds: i64) {
        // In one step, so that nobody reads half of it.
        let next = self.0.with_extension("next");
        std::fs::write(&next, format!("{seconds:+}")).unwrap();
        std::fs::rename(next, &self.0).unwrap();
    }
}

fn with_a_clock(case: &Case) -> (Process, Clock, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock(folder.path().join("offset"));
    clock.set(0);
    let yes = Path::new("1");
    let process = case.spawn_in(&[
        ("LD_PRELOAD", &Clock::library()),
        ("FAKETIME_TIMESTAMP_FILE", &clock.0),
        ("FAKETIME_NO_CACHE", yes),
        ("FAKETIME_DONT_FAKE_MONOTONIC", yes),
    ]);
    (process, clock, folder)
}

const HOUR: i64 = 3_600;

fn wait_of(refused: &Answer) -> i64 {
    refused.header("retry-after").unwrap().parse().unwrap()
}

#[test]
fn a_clock_that_jumps_neither_gives_more_than_the_quota_nor_breaks_the_log() {
    for jump in [HOUR, 24 * HOUR, 366 * 24 * HOUR] {
        let (process, clock, _folder) = with_a_clock(&Case::guest("echo").quota(2));
        let spend = || {
            let spent = (0..10).take_while(|_| process.get("/").status() == 200).count();
            (spent, process.get("/").expect_problem(429, "rate-limited"))
        };
        let (spent, refused) = spend();
        assert!(spent == 2 && wait_of(&refused) <= 30, "{spent}, {}", wait_of(&refused));
        clock.set(jump);
        let (spent, refused) = spend();
        assert!(spent == 2 && wait_of(&refused) <= 30, "after {jump} s: {spent}, {}", wait_of(&refused));
        // Back again, the count knows of takes in what is now the future, and waits for it.
        clock.set(0);
        let (spent, refused) = spend();
        assert!(spent == 0 && wait_of(&refused) <= jump + 60, "{spent}, {}", wait_of(&refused));
        clock.set(2 * jump);
        assert_eq!(spend().0, 2, "{jump}");
        let site = settle_accounts(process, &[]);
        let times: Vec<String> =
            Log::of(site.path()).records().iter().map(|record| record.text("time").to_owned()).collect();
        assert!(!times.is_sorted(), "the clock did jump: {times:?}");
    }
}

#[test]
fn a_release_past_its_time_is_taken_out_of_service_at_the_next_reload() {
    let (process, clock, _folder) = with_a_clock(&Case::guest("echo"));
    process.get("/").expect_status(200);
    let good = process.site().configuration();
    let file = process.site().path().join("acme-web.wasm");
    let now = jiff::Timestamp::now();
    sign_until(&file, "test:guest", key(), now + Duration::from_secs(24 * 3_600));
    clock.set(48 * HOUR);
    process.site().configure(&format!("{good}\n# two days later\n"));
    until(503, || process.get("/")).expect_problem(503, "app-refused");
    clock.set(0);
    process.site().configure(&format!("{good}\n# the clock was wrong\n"));
    until(200, || process.get("/"));
    settle_accounts(process, &[]);
}

#[test]
fn a_host_that_is_killed_while_it_compiles_for_a_reload_starts_again() {
    let process = Case::guest("echo").spawn();
    process.get("/").expect_status(200);
    let good = process.site().configuration();
    // The same app with a note that nobody reads: other bytes, so that it is compiled anew.
    let file = process.site().path().join("acme-web.wasm");
    let mut bytes = std::fs::read(guest("echo")).unwrap();
    let note = format!("killed at {:?}", std::time::SystemTime::now());
    let section = [&[5][..], b"notes", note.as_bytes()].concat();
    bytes.extend([&[0, u8::try_from(section.len()).unwrap()], section.as_slice()].concat());
    std::fs::write(&file, bytes).unwrap();
    sign(&file, "test:guest", key());
    process.site().configure(&format!("{good}\n# a change\n"));
    let compiling = child_of(process.id());
    let site = process.kill();
    // The compiler has nobody left to give its code to.
    while Path::new("/proc").join(compiling.to_string()).join("fd/0").exists() {
        std::thread::yield_now();
    }
    let process = Process::again(site);
    let answered = process.get("/").expect_status(200).request_id();
    settle_accounts(process, &[(answered, "answered:200")]);
}

/// The first process that the host starts.
fn child_of(parent: u32) -> u32 {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        for task in std::fs::read_dir(format!("/proc/{parent}/task")).unwrap() {
            let children = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
            if let Some(child) = children.split_whitespace().next() {
                return child.parse().unwrap();
            }
        }
    }
    panic!("nothing was compiled");
}
