//! One host, one tenant that attacks it in every way, and one that must not notice.
//!
//! Each attack is an app of the tenant `evil`; the tenant `quiet` has a well-behaved one. After each attack the siege
//! looks at the answers, the records, the neighbour and the host, and notes what is not as it should be; in the end it
//! has a table and a list of complaints.

mod endure;

use crate::attack::{Attack, Evidence};
use crate::case::{App, Case, Tenant};
use crate::files::{key, sign_as_importing};
use crate::host::Process;
use crate::log::Record;
use crate::pulse::{Bytes, Footprint, Pace, Pulse};
use crate::raw::Ask;
use crate::verdict::{Verdict, summary};
use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tollgate_runtime::Inspection;

/// What the attacker may take: little, so that every limit is soon reached.
const PLAN: &str = "fuel = 50_000_000\ngas = 200_000_000\ncpu-ms = 200\ndeadline-ms = 1_000\n\
    memory-bytes = \"16MiB\"\nhost-calls = 20_000\nresponse-body-bytes = \"1MiB\"\nlog-lines = 20\noutgoing-requests = 8";

/// The memory limit of that plan.
const MEMORY: u64 = 16 << 20;

/// Requests of the attacker that run at one time.
const CLIENTS: u64 = 4;

/// What a host may take beyond the sum of the configured limits.
const SLACK: u64 = 64 << 20;

/// How long the memory may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(10);

/// How hard a siege is, and how strictly it is judged.
#[derive(Clone, Copy)]
pub struct Strictness {
    /// Requests of each attack: at least so many, and at least for so long.
    pub requests: u64,
    pub lasting: Duration,
    /// Requests of the neighbour before each attack.
    pub before: usize,
    /// How far beyond its limit a run may go by its clock.
    pub late: Duration,
    /// Memory that an allocator may keep after an attack, beside a twentieth of what there was; and after a reload, for
    /// which more threads are at work.
    pub kept: u64,
    pub kept_by_reload: u64,
    /// How long a hostile file may take to be served or refused.
    pub deployed: Duration,
    /// What it may take of memory, in the host and its compiler, beyond what there was.
    pub deploy_memory: u64,
    /// How many times the neighbour's 99th percentile may become; none when only errors count.
    pub slower: Option<f64>,
}

impl Strictness {
    /// For every day, on a machine that has other work: nothing that depends on its speed.
    pub fn ordinary() -> Self {
        Self {
            requests: 4,
            lasting: Duration::ZERO,
            before: 24,
            late: Duration::from_secs(2),
            kept: 32 << 20,
            kept_by_reload: 192 << 20,
            deployed: Duration::from_secs(60),
            deploy_memory: 512 << 20,
            slower: None,
        }
    }
    /// As ordinary, for files that take what a compiler may take.
    pub fn patient() -> Self {
        let deploy_memory = (1 << 30) + (64 << 20);
        Self { deployed: Duration::from_secs(300), deploy_memory, ..Self::ordinary() }
    }
    /// For a machine of its own.
    pub fn measured() -> Self {
        Self {
            requests: 16,
            lasting: Duration::from_secs(2),
            before: 400,
            late: Duration::from_millis(100),
            kept: 16 << 20,
            kept_by_reload: 32 << 20,
            deployed: Duration::from_secs(10),
            deploy_memory: 512 << 20,
            slower: Some(2.0),
        }
    }
}

/// How often an attack is made at most, when the neighbour seems to notice.
const ROUNDS: usize = 4;

const NEIGHBOUR: Pace = Pace { connections: 4, every: Duration::from_millis(20) };

/// A host under attack.
pub struct Siege {
    process: Process,
    footprint: Footprint,
    strictness: Strictness,
    upstream: Upstream,
    at_first: Bytes,
    /// How the neighbour was whenever nobody attacked: a disk has good and bad seconds, so one short look would not do.
    calm: Pulse,
    complaints: Vec<String>,
    sent: BTreeMap<String, u64>,
}

impl Siege {
    /// Starts a host with an app for each attack.
    pub fn lay(attacks: &[Attack], strictness: Strictness) -> Self {
        Self::lay_with("", attacks, strictness)
    }
    /// The same, with these keys for each app.
    pub fn lay_with(keys: &str, attacks: &[Attack], strictness: Strictness) -> Self {
        let upstream = Upstream::start();
        let mut evil = Tenant::new("evil").limits(PLAN).totals(&format!("concurrent-requests = {CLIENTS}"));
        for attack in attacks {
            evil = evil.app(
                App::guest(attack.guest)
                    .named(attack.name)
                    .keys(&format!("{keys}\nlimits = {{ {} }}", attack.limits))
                    .grants(&upstream.named_in(attack.grants))
                    .route(&format!("host = \"{}\"", attack.host())),
            );
        }
        let process = Case::new().tenant(evil).tenant(Tenant::new("quiet").app(App::guest("echo"))).spawn();
        let footprint = Footprint::of(process.id());
        let calm = NEIGHBOUR.run(process.address(), "quiet.test", |made| made >= 2 * strictness.before);
        let at_first = footprint.least_soon();
        let (complaints, sent) = Default::default();
        Self { process, footprint, strictness, upstream, at_first, calm, complaints, sent }
    }

    /// Runs one attack and judges what came of it: a line of the table.
    pub fn run(&mut self, attack: &Attack) -> String {
        let address = self.process.address();
        let quiet = self.quiet();
        let (first, said) = (self.process.log().size(), self.process.stderr_length());
        let rss = self.footprint.now();
        let asked_upstream = self.upstream.asked.load(Relaxed);
        let ask = Ask {
            method: attack.method,
            host: attack.host(),
            target: self.upstream.named_in(attack.target),
            sending: attack.sending,
        };
        let strictness = self.strictness;
        let mut replies = Vec::new();
        let (pulse, peak) = self.rounds(&quiet, || {
            beside(address, || {
                let (made, began) = (AtomicU64::new(0), Instant::now());
                let enough = || {
                    made.fetch_add(1, Relaxed) >= strictness.requests && began.elapsed() >= strictness.lasting
                };
                std::thread::scope(|scope| {
                    let client =
                        || std::iter::from_fn(|| (!enough()).then(|| ask.alone(address))).collect::<Vec<_>>();
                    let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
                    replies.extend(clients.into_iter().flat_map(|client| client.join().unwrap()));
                });
            })
        });
        *self.sent.entry(attack.name.into()).or_default() += replies.len() as u64;
        let records = self.records_of(attack.name, first, replies.len());
        let stderr = self.process.stderr_since(said);
        let upstream = self.upstream.asked.load(Relaxed) - asked_upstream;
        let mut verdict = Verdict::of(attack.name);
        verdict.answers = summary(&replies, &records);
        verdict.heard(attack, &replies);
        verdict.recorded(attack, &replies, &records);
        verdict.clock(attack, &records, strictness.late);
        verdict.neighbour(&quiet, &pulse, strictness.slower);
        let evidence = Evidence { replies: &replies, records: &records, stderr: &stderr, upstream };
        if let Some(Err(complaint)) = attack.look.map(|look| look(&evidence)) {
            verdict.complain(complaint);
        }
        self.judge(verdict, said, [rss, peak], CLIENTS * MEMORY + SLACK, strictness.kept)
    }

    /// Attacks; again while the neighbour was asked less often than before the attack, as a 99th percentile of few
    /// requests is their worst. Where it was slower than it may be, again, too, and all rounds are judged together: of a
    /// few hundred requests, a few that the machine itself delayed decide. How the neighbour was, and the most memory.
    fn rounds(&self, quiet: &Pulse, mut round: impl FnMut() -> ((), Pulse)) -> (Pulse, Bytes) {
        let (mut all, mut most) = (Pulse::default(), Bytes(0));
        let mut enough = 0;
        while enough < ROUNDS {
            let (((), pulse), peak) = self.footprint.most_during(&mut round);
            (all, most) = (all.and(&pulse), most.max(peak));
            let Some(slower) = self.strictness.slower else { break };
            if all.requests() < self.strictness.before * (enough + 1) {
                continue;
            }
            enough += 1;
            if all.slower_than(quiet) <= slower {
                break;
            }
        }
        (all, most)
    }

    /// Deploys a component under these keys while the neighbour is served, and takes it away again: it must be served or
    /// refused.
    pub fn deploy(&mut self, name: &str, component: &[u8], keys: &str) -> String {
        let (quiet, rss, cached) = (self.quiet(), self.footprint.now(), self.cached());
        let (site, said) = (self.process.site(), self.process.stderr_length());
        let file = site.path().join(format!("bomb-{name}.wasm"));
        std::fs::write(&file, component).unwrap();
        let imports = Inspection::of(component).map(|inspection| inspection.imports).unwrap_or_default();
        let imports = imports.into_iter().map(|import| import.name).collect();
        sign_as_importing(&file, "test:guest", key(), imports);
        let before = site.configuration();
        let with_it = format!(
            "{before}\n[tenants.evil.apps.{name}]\ncomponent = \"bomb-{name}.wasm\"\n{keys}\n\
             [[tenants.evil.routes]]\nname = \"{name}\"\napp = \"{name}\"\nhost = \"{name}.evil.test\"\n"
        );
        let (mut outcome, mut took, mut gone) = (None, Duration::ZERO, None);
        let (pulse, peak) = self.rounds(&quiet, || {
            let said = self.process.stderr_length();
            let ((), pulse) = beside(self.process.address(), || {
                let began = Instant::now();
                site.configure(&with_it);
                self.process.hang_up();
                outcome = self.deployed(name, said);
                took = took.max(began.elapsed());
            });
            site.configure(&before);
            self.process.hang_up();
            gone = until(self.strictness.deployed, || (self.status_of(name) == Some(404)).then_some(()));
            for new in self.cached().difference(&cached) {
                // Whoever else compiled it in the meantime does so again.
                let _ = std::fs::remove_file(new);
            }
            ((), pulse)
        });
        let mut verdict = Verdict::of(&format!("deploy {name}"));
        if outcome.is_none() || gone.is_none() {
            verdict.complain(format!("after {took:.1?}: {outcome:?}; taken away: {}", gone.is_some()));
        }
        if took > self.strictness.deployed {
            verdict.complain(format!("it took {took:.1?} to be served or refused"));
        }
        verdict.answers = outcome.unwrap_or_default();
        verdict.clock = format!("{took:.1?}");
        verdict.neighbour(&quiet, &pulse, self.strictness.slower);
        self.judge(verdict, said, [rss, peak], self.strictness.deploy_memory, self.strictness.kept_by_reload)
    }

    /// Waits until an app is served or refused, and says which.
    fn deployed(&self, name: &str, said: u64) -> Option<String> {
        until(self.strictness.deployed, || match self.status_of(name) {
            Some(404) => {
                let stderr = self.process.stderr_since(said);
                let line =
                    stderr.lines().find(|line| line.contains("was not taken") && line.contains(name))?;
                let (_, reason) = line.split_once("is refused: ")?;
                Some(format!("refused: {:.100}", reason.replace("\\n", " ")))
            }
            status => Some(format!("answers {}", status?)),
        })
    }

    fn status_of(&self, name: &str) -> Option<u16> {
        Ask::get(&format!("{name}.evil.test"), "/").alone(self.process.address()).status
    }

    /// Ends the siege: everything that was not as it should be.
    pub fn lift(mut self) -> Vec<String> {
        let mut recorded: BTreeMap<String, u64> = BTreeMap::new();
        for record in self.process.log().records() {
            let app = record.text("resource").strip_prefix("evil/").and_then(|rest| rest.split('/').next());
            *recorded.entry(app.unwrap_or_default().to_owned()).or_default() += 1;
        }
        for (name, sent) in &self.sent {
            let recorded = recorded.get(name).copied().unwrap_or(0);
            if recorded != *sent {
                self.complaints.push(format!("{name}: {sent} requests have {recorded} records in the end"));
            }
        }
        let (first, most) =
            (self.at_first, Bytes(self.at_first.0 + self.at_first.0 / 20 + self.strictness.kept_by_reload));
        let last = self.footprint.settle(most, BACK_WITHIN);
        if last > most {
            self.complaints.push(format!("{first} MiB were resident at first, and {last} in the end"));
        }
        self.complaints
    }

    fn quiet(&mut self) -> Pulse {
        let enough = self.strictness.before;
        let ask = || NEIGHBOUR.run(self.process.address(), "quiet.test", |made| made >= enough);
        // Under the same observation as during an attack: to read a process's memory takes a core for a moment.
        let (now, _) = self.footprint.most_during(ask);
        self.calm = now.and(&self.calm);
        self.calm.clone()
    }

    /// What holds after each: the memory came back, and the host is whole.
    fn judge(&mut self, mut verdict: Verdict, said: u64, rss: [Bytes; 2], more: u64, kept: u64) -> String {
        let [before, peak] = rss;
        // What an allocator gives back late is no attack's fault: there may always be what there was at first.
        let base = before.max(self.at_first).0;
        let (most, back) = (Bytes(base + more), Bytes(base + base / 20 + kept));
        let after = self.footprint.settle(back, BACK_WITHIN);
        verdict.memory([before, peak, after], [most, back]);
        if !self.process.is_alive() {
            verdict.complain("the host's process is gone".into());
        }
        if let Some(line) = self.process.stderr_since(said).lines().find(|line| is_panic(line)) {
            verdict.complain(format!("a panic: {line}"));
        }
        let of = |complaint: &String| format!("{}: {complaint}", verdict.name);
        self.complaints.extend(verdict.complaints.iter().map(of));
        verdict.to_string()
    }

    /// The records of an app since the record `first`, once there are so many; or after some seconds as they are.
    fn records_of(&self, app: &str, first: u64, wanted: usize) -> Vec<Record> {
        let app = format!("evil/{app}/");
        let end =
            Instant::now() + if wanted == usize::MAX { Duration::ZERO } else { Duration::from_secs(10) };
        loop {
            let mut records = self.process.log().records_from(first);
            records.retain(|record| record.text("resource").starts_with(&app));
            if records.len() >= wanted || Instant::now() >= end {
                return records;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The files of compiled code.
    fn cached(&self) -> HashSet<PathBuf> {
        let cache = self.process.site().path().join("state/cache");
        std::fs::read_dir(cache).unwrap().flatten().map(|entry| entry.path()).collect()
    }
}

/// Whether a line of the log tells of a panic, and not of what a guest wrote.
fn is_panic(line: &str) -> bool {
    line.contains("panicked") && !line.contains("\"target\":\"tollgate::guest\"")
}

/// Looks again until there is something, for longer than that should take.
fn until<T>(within: Duration, look: impl Fn() -> Option<T>) -> Option<T> {
    let end = Instant::now() + 2 * within + Duration::from_secs(20);
    loop {
        let found = look();
        if found.is_some() || Instant::now() > end {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Does something while the neighbour is served; what was done, and how the neighbour was.
fn beside<T: Send>(address: SocketAddr, work: impl FnOnce() -> T + Send) -> (T, Pulse) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pulse =
            scope.spawn(|| NEIGHBOUR.run(address, "quiet.test", |made| over.load(Relaxed) && made >= 20));
        let done = scope.spawn(work).join();
        over.store(true, Relaxed);
        (done.unwrap(), pulse.join().unwrap())
    })
}

/// A server of the attacker's own, which answers everything, and counts.
struct Upstream {
    address: SocketAddr,
    asked: Arc<AtomicU64>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::<AtomicU64>::default());
        let count = asked.clone();
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = count.clone();
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let mut some = [0; 4_096];
                    while matches!(stream.read(&mut some), Ok(1..)) {
                        count.fetch_add(1, Relaxed);
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n");
                    }
                });
            }
        });
        Self { address, asked }
    }

    fn named_in(&self, text: &str) -> String {
        text.replace("ORIGIN", &format!("http://{}", self.address))
    }
}
