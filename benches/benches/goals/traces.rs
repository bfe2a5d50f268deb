//! Goal 7, the second half: what traces cost. A caller's own decision is kept, so the load asks for every tenth request to
//! be traced; the export goes to a sink that takes and drops. Both hosts get the same requests.

use crate::host::Running;
use crate::report::{Bound, Verdict, in_turns, median, ratio};
use crate::site::one;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use testkit::App;

const ROUNDS: usize = 16;
const SECONDS: u32 = 2;

/// Bytes of spans that came.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Every so many requests one is to be traced, and with export or without.
const ARMS: [(&str, usize, bool); 4] = [
    ("no export", 10, false),
    ("export, every tenth", 10, true),
    ("export, none sampled", usize::MAX >> 12, true),
    ("export, all", 1, true),
];

pub(crate) fn measure() -> Vec<Verdict> {
    let bound = Bound::AtMost(1.0);
    if Command::new("wrk").arg("--version").output().is_err() {
        return vec![Verdict::missing(7, "tracing: there is no `wrk`", bound, "%")];
    }
    let sink = sink();
    let case = one(App::guest("hello"));
    let (plain_site, traced_site) = (case.write(), case.write());
    let plain = Running::start(&plain_site);
    let within = Duration::from_secs(60);
    let traced = Running::start_with(&traced_site, Some(sink), within).expect("a host that is ready in time");
    let script = plain_site.path().join("load.lua");
    let mut cpu = [const { Vec::new() }; ARMS.len()];
    let rates = in_turns::<{ ARMS.len() }>(ROUNDS, |arm| {
        let (_, every, export) = ARMS[arm];
        let host = if export { &traced } else { &plain };
        std::fs::write(&script, SCRIPT.replace("EVERY", &every.to_string())).unwrap();
        let before = host.cpu();
        let (rate, requests) = load(host.address, &script);
        cpu[arm].push((host.cpu() - before).as_secs_f64() * 1e6 / requests);
        rate
    });
    println!("the sink has taken {:.1} MiB of spans", TAKEN.load(Relaxed) as f64 / f64::from(1 << 20));
    for (arm, (name, ..)) in ARMS.iter().enumerate() {
        println!(
            "{name:<22} {:>7.0} req/s ({:+.1} %)   host's CPU {:>6.1} µs/request ({:+.1} %)",
            median(&rates[arm]),
            (ratio(&rates[arm], &rates[0]) - 1.0) * 100.0,
            median(&cpu[arm]),
            (ratio(&cpu[arm], &cpu[0]) - 1.0) * 100.0
        );
    }
    let (rate, work) = (ratio(&rates[1], &rates[0]), ratio(&cpu[1], &cpu[0]));
    vec![
        Verdict::new(7, "traces of every tenth request: throughput lost", (1.0 - rate) * 100.0, bound, "%"),
        Verdict::new(7, "traces of every tenth request: CPU more", (work - 1.0) * 100.0, bound, "%"),
    ]
}

/// A caller that names a trace, and wants some of its requests in it.
const SCRIPT: &str = r#"
local trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"
local count, plain, sampled = 0, nil, nil
init = function()
  plain = wrk.format("GET", "/", { ["Host"] = "acme.test", ["traceparent"] = trace .. "00" })
  sampled = wrk.format("GET", "/", { ["Host"] = "acme.test", ["traceparent"] = trace .. "01" })
end
request = function()
  count = count + 1
  if count % EVERY == 0 then return sampled end
  return plain
end
"#;

/// Requests in a second, and in all. Every answer must be good.
fn load(address: SocketAddr, script: &Path) -> (f64, f64) {
    let output = Command::new("wrk")
        .args(["-t1", "-c32", &format!("-d{SECONDS}s"), "-s"])
        .arg(script)
        .arg(format!("http://{address}/"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).expect("a rate");
    let requests = text.lines().find_map(|line| line.split_once(" requests in ")).expect("a count").0;
    (rate.trim().parse().unwrap(), requests.trim().parse().unwrap())
}

/// Takes what is sent to it, says that all is well, and keeps nothing.
fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || drain(stream));
        }
    });
    address
}

fn drain(stream: TcpStream) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0_u64;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        TAKEN.fetch_add(length, Relaxed);
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        writer.write_all(answer.as_bytes()).ok()?;
    }
}
