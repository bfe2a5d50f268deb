use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Semaphore;
use tollgate_runtime::{Actor, ActorKind, Outcome, Usage};

fn entry(id: &str, outcome: Outcome) -> Entry {
    Entry {
        request_id: id.to_owned(),
        time: 1,
        tenant: "acme".to_owned(),
        actor: Actor { id: "alice".to_owned(), kind: ActorKind::Client, groups: vec!["staff".to_owned()] },
        action: "GET".to_owned(),
        resource: "acme/app/route host /path".to_owned(),
        outcome,
        client_address: "192.0.2.1".to_owned(),
        metadata: vec![("name".to_owned(), "value".to_owned())],
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        usage: Usage {
            gas: 1,
            fuel: 1,
            memory_bytes: 1,
            cpu: 1,
            wall: 1,
            host_calls: 1,
            bytes_in: 1,
            bytes_out: 1,
        },
        limits: Vec::new(),
        policies: vec!["p".to_owned()],
    }
}

/// A log in memory that outlives the book, as a disk would, and fails as it is told to.
#[derive(Default)]
struct Disk {
    entries: Mutex<Vec<Entry>>,
    batches: Mutex<Vec<usize>>,
    /// What the next appends answer; none for success.
    plan: Mutex<Vec<Option<AppendError>>>,
    /// Whether a failure of the unknown kind takes effect.
    takes_effect: AtomicBool,
    gate: Option<Semaphore>,
    attempts: AtomicUsize,
}

struct DiskLog {
    disk: Arc<Disk>,
    size: u64,
}

impl Disk {
    fn log(self: &Arc<Self>) -> DiskLog {
        DiskLog { disk: Arc::clone(self), size: self.entries.lock().len() as u64 }
    }

    fn ids(&self) -> Vec<String> {
        self.entries.lock().iter().map(|entry| entry.request_id.clone()).collect()
    }

    fn recorded(self: &Arc<Self>) -> Arc<Recorded> {
        let disk = Arc::clone(self);
        Arc::new(move |from, ids| {
            let entries = disk.entries.lock();
            let from = entries.iter().skip(from as usize).map(|entry| entry.request_id.clone());
            Ok(from.filter(|id| ids.contains(id)).collect())
        })
    }
}

impl Log for DiskLog {
    fn append<'a>(&'a mut self, entries: &'a [Entry]) -> BoxFuture<'a, Result<u64, AppendError>> {
        Box::pin(async move {
            if let Some(gate) = &self.disk.gate {
                gate.acquire().await.unwrap().forget();
            }
            self.disk.attempts.fetch_add(1, Ordering::Relaxed);
            let mut plan = self.disk.plan.lock();
            let failure = if plan.is_empty() { None } else { plan.remove(0) };
            let huge =
                entries.iter().position(|entry| entry.resource.len() > 2_000 || entry.action == "huge");
            let failure = failure.or_else(|| huge.map(AppendError::TooLarge));
            let lost_answer = matches!(failure, Some(AppendError::Unknown(_)));
            if failure.is_none() || (lost_answer && self.disk.takes_effect.load(Ordering::Relaxed)) {
                self.disk.entries.lock().extend_from_slice(entries);
                self.disk.batches.lock().push(entries.len());
            }
            match failure {
                Some(failure) => Err(failure),
                None => {
                    let first = self.size;
                    self.size += entries.len() as u64;
                    Ok(first)
                }
            }
        })
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<u64, AppendError>> {
        self.size = self.disk.entries.lock().len() as u64;
        Box::pin(std::future::ready(Ok(self.size)))
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// Notes that outlive the book, with the log's size at their time.
#[derive(Default)]
struct Notes(Mutex<Vec<OpenedRequest>>, AtomicUsize);

impl OpenEntries for Notes {
    fn open(&self, request_id: &str, note: &[u8]) -> io::Result<()> {
        let log_size = self.1.load(Ordering::Relaxed) as u64;
        let opened = OpenedRequest { request_id: request_id.to_owned(), log_size, bytes: note.to_vec() };
        self.0.lock().push(opened);
        Ok(())
    }

    fn close(&self, request_ids: &[&str], log_size: u64) -> io::Result<()> {
        self.1.store(log_size as usize, Ordering::Relaxed);
        self.0.lock().retain(|note| !request_ids.contains(&note.request_id.as_str()));
        Ok(())
    }

    fn recover(&self) -> Vec<OpenedRequest> {
        self.0.lock().clone()
    }
}

fn quick() -> AuditBookOptions {
    let short = Duration::from_millis(1);
    AuditBookOptions {
        first_pause: short,
        longest_pause: short,
        last_attempts: short,
        ..AuditBookOptions::default()
    }
}

async fn open(disk: &Arc<Disk>, notes: &Arc<Notes>, options: AuditBookOptions) -> Arc<AuditBook> {
    let notes: Arc<dyn OpenEntries> = Arc::<Notes>::clone(notes);
    AuditBook::start(disk.log(), notes, disk.recorded(), Arc::new(|_| {}), options).await.unwrap()
}

#[tokio::test]
async fn a_record_is_durable_when_settle_returns_and_its_note_is_struck_out() {
    let (disk, notes) = (Arc::new(Disk::default()), Arc::new(Notes::default()));
    let book = open(&disk, &notes, quick()).await;
    book.admitted(&entry("a", Outcome::Interrupted)).unwrap();
    assert_eq!(notes.recover().len(), 1);
    assert_eq!(book.settle(entry("a", Outcome::Answered(200))).await.unwrap(), 0);
    assert_eq!(book.settle(entry("b", Outcome::Denied)).await.unwrap(), 1);
    assert_eq!(disk.ids(), ["a", "b"]);
    book.close().await;
    assert!(notes.recover().is_empty());
}

#[tokio::test]
async fn records_that_wait_together_are_appended_together_and_in_order() {
    let disk = Arc::new(Disk { gate: Some(Semaphore::new(0)), ..Disk::default() });
    let book = open(&disk, &Arc::default(), AuditBookOptions { batch: 8, ..quick() }).await;
    let mut all =
        futures::future::join_all((0..20).map(|n| book.settle(entry(&n.to_string(), Outcome::Denied))));
    assert!(futures::poll!(&mut all).is_pending());
    assert_eq!(book.waiting(), 20);
    disk.gate.as_ref().unwrap().add_permits(100);
    let indices: Vec<_> = all.await.into_iter().map(Result::unwrap).collect();
    assert_eq!(indices, (0..20).collect::<Vec<_>>());
    let batches = disk.batches.lock().clone();
    assert!(batches.len() <= 4 && batches.iter().all(|&size| size <= 8), "{batches:?}");
    assert_eq!(disk.ids(), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_the_last_host_left_open_is_recorded_once_however_often_it_was_killed() {
    let (disk, notes) = (Arc::new(Disk::default()), Arc::new(Notes::default()));
    let book = open(&disk, &notes, quick()).await;
    for id in ["ran", "hung"] {
        book.admitted(&entry(id, Outcome::Interrupted)).unwrap();
    }
    let before = notes.recover();
    book.settle(entry("ran", Outcome::Answered(200))).await.unwrap();
    drop(book);
    // Three kills in a row, each after the record was written and before the note was struck out.
    for _ in 0..3 {
        *notes.0.lock() = before.clone();
        let book = open(&disk, &notes, quick()).await;
        book.close().await;
        assert_eq!(disk.ids(), ["ran", "hung"]);
    }
    let hung = disk.entries.lock().iter().find(|entry| entry.request_id == "hung").cloned().unwrap();
    assert!(matches!(hung.outcome, Outcome::Interrupted));
    assert_eq!((hung.actor.id.as_str(), hung.policies), ("alice", vec!["p".to_owned()]));
}

#[tokio::test]
async fn a_note_that_cannot_be_read_still_becomes_a_record() {
    let (disk, notes) = (Arc::new(Disk::default()), Arc::new(Notes::default()));
    notes.open("odd", b"{ torn").unwrap();
    open(&disk, &notes, quick()).await.close().await;
    let entry = disk.entries.lock().first().cloned().unwrap();
    assert_eq!(
        (entry.request_id.as_str(), entry.metadata),
        ("odd", vec![("note".to_owned(), "unreadable".to_owned())])
    );
}

#[tokio::test]
async fn while_the_log_fails_nothing_is_admitted_and_nothing_is_lost() {
    let disk = Arc::new(Disk { gate: Some(Semaphore::new(0)), ..Disk::default() });
    let full = || Some(AppendError::Store("disk full".to_owned()));
    *disk.plan.lock() = vec![full(), full()];
    let book = open(&disk, &Arc::default(), quick()).await;
    book.admitted(&entry("a", Outcome::Interrupted)).unwrap();
    let mut settled = Box::pin(book.settle(entry("a", Outcome::Answered(200))));
    disk.gate.as_ref().unwrap().add_permits(1);
    while book.ready().is_ok() {
        assert!(futures::poll!(&mut settled).is_pending());
        tokio::task::yield_now().await;
    }
    let refused = book.admitted(&entry("b", Outcome::Interrupted)).unwrap_err();
    assert_eq!(refused.to_string(), "the audit log can't be written: disk full");
    let unanswered = book.settle(entry("b", Outcome::Refused("audit-unavailable".to_owned()))).await;
    assert!(unanswered.is_err(), "whoever is refused does not wait for the disk");
    disk.gate.as_ref().unwrap().add_permits(10);
    assert_eq!(settled.await.unwrap(), 0);
    assert!(book.ready().is_ok());
    book.admitted(&entry("c", Outcome::Interrupted)).unwrap();
    book.settle(entry("c", Outcome::Answered(200))).await.unwrap();
    assert_eq!(disk.ids(), ["a", "b", "c"]);
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_neither_lost_nor_doubled() {
    for takes_effect in [false, true] {
        let disk = Arc::new(Disk { takes_effect: AtomicBool::new(takes_effect), ..Disk::default() });
        *disk.plan.lock() = vec![None, Some(AppendError::Unknown("trap".to_owned()))];
        let book = open(&disk, &Arc::default(), quick()).await;
        assert_eq!(book.settle(entry("a", Outcome::Denied)).await.unwrap(), 0);
        assert_eq!(book.settle(entry("b", Outcome::Denied)).await.unwrap(), 1, "{takes_effect}");
        assert_eq!(book.settle(entry("c", Outcome::Denied)).await.unwrap(), 2, "{takes_effect}");
        assert_eq!(disk.ids(), ["a", "b", "c"], "{takes_effect}");
    }
}

#[tokio::test]
async fn a_corrupt_log_is_written_no_more() {
    let disk = Arc::new(Disk::default());
    *disk.plan.lock() = vec![Some(AppendError::Corrupt("tile 3".to_owned()))];
    let book = open(&disk, &Arc::default(), quick()).await;
    let failed = book.settle(entry("a", Outcome::Denied)).await.unwrap_err();
    assert_eq!(failed.to_string(), "the audit log can't be written: tile 3");
    assert!(book.ready().is_err());
    assert_eq!(disk.attempts.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_record_that_is_too_large_is_cut_and_stops_no_other() {
    let disk = Arc::new(Disk { gate: Some(Semaphore::new(0)), ..Disk::default() });
    let book = open(&disk, &Arc::default(), quick()).await;
    let large = Entry { resource: "ä".repeat(3_000), ..entry("large", Outcome::Denied) };
    let hopeless = Entry { action: "huge".to_owned(), ..entry("hopeless", Outcome::Denied) };
    let all = [entry("first", Outcome::Denied), large, hopeless, entry("last", Outcome::Denied)];
    let mut all = futures::future::join_all(all.map(|entry| book.settle(entry)));
    assert!(futures::poll!(&mut all).is_pending());
    disk.gate.as_ref().unwrap().add_permits(100);
    let answers: Vec<_> = all.await.into_iter().map(|answer| answer.ok()).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_some()).count(), 3, "{answers:?}");
    assert!(answers[2].is_none());
    let large = disk.entries.lock().iter().find(|entry| entry.request_id == "large").cloned().unwrap();
    assert_eq!(
        (large.resource.len(), large.metadata),
        (1_024, vec![("record".to_owned(), "cut".to_owned())])
    );
}

#[tokio::test]
async fn a_full_queue_refuses_new_requests_and_never_an_admitted_one() {
    let disk = Arc::new(Disk { gate: Some(Semaphore::new(0)), ..Disk::default() });
    let book = open(&disk, &Arc::default(), AuditBookOptions { queue: 2, batch: 1, ..quick() }).await;
    book.admitted(&entry("admitted", Outcome::Interrupted)).unwrap();
    let mut waiting = Vec::new();
    let refused = loop {
        let mut one = Box::pin(book.settle(entry(&waiting.len().to_string(), Outcome::Denied)));
        match futures::poll!(&mut one) {
            std::task::Poll::Pending => waiting.push(one),
            std::task::Poll::Ready(answer) => break answer.unwrap_err(),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.to_string(), "the audit log is behind: 2 records wait");
    assert!(matches!(book.admitted(&entry("late", Outcome::Interrupted)), Err(BookError::Behind { .. })));
    let mut admitted = Box::pin(book.settle(entry("admitted", Outcome::Answered(200))));
    assert!(futures::poll!(&mut admitted).is_pending());
    disk.gate.as_ref().unwrap().add_permits(100);
    admitted.await.unwrap();
    for one in waiting {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn a_closed_book_has_written_what_it_took_and_takes_no_more() {
    let disk = Arc::new(Disk { gate: Some(Semaphore::new(0)), ..Disk::default() });
    let book = open(&disk, &Arc::default(), quick()).await;
    let mut settled = Box::pin(book.settle(entry("a", Outcome::Denied)));
    assert!(futures::poll!(&mut settled).is_pending());
    let mut closed = Box::pin(book.close());
    assert!(futures::poll!(&mut closed).is_pending());
    assert!(matches!(book.admitted(&entry("b", Outcome::Interrupted)), Err(BookError::Closed)));
    assert!(matches!(book.settle(entry("b", Outcome::Denied)).await, Err(BookError::Closed)));
    disk.gate.as_ref().unwrap().add_permits(1);
    closed.await;
    assert_eq!(settled.await.unwrap(), 0);
    assert_eq!(disk.ids(), ["a"]);
}

#[tokio::test]
async fn a_stopping_host_does_not_try_for_ever() {
    let disk = Arc::new(Disk::default());
    *disk.plan.lock() = vec![Some(AppendError::Store("disk full".to_owned())); 10_000];
    let notes = Arc::new(Notes::default());
    let book = open(&disk, &notes, quick()).await;
    book.admitted(&entry("a", Outcome::Interrupted)).unwrap();
    let mut settled = Box::pin(book.settle(entry("a", Outcome::Answered(200))));
    while book.ready().is_ok() {
        assert!(futures::poll!(&mut settled).is_pending());
        tokio::task::yield_now().await;
    }
    book.close().await;
    assert!(matches!(settled.await, Err(BookError::Store(_))));
    assert_eq!(notes.recover().len(), 1, "the next start will record it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Admissions, settlements, failures and kills in any order: what was acknowledged is in the log, and what was
    /// admitted is there once after the last start.
    #[test]
    fn every_admitted_request_has_one_record(
        plan in prop::collection::vec(0..4_u8, 0..12),
        takes_effect in any::<bool>(),
        hosts in prop::collection::vec(prop::collection::vec((0..20_u8, any::<bool>()), 0..10), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (disk, notes) = (Arc::new(Disk::default()), Arc::new(Notes::default()));
            disk.takes_effect.store(takes_effect, Ordering::Relaxed);
            let (mut admitted, mut acknowledged) = (BTreeSet::new(), BTreeSet::new());
            for (number, requests) in hosts.iter().enumerate() {
                // Recovery itself is not made to fail: then the host does not start.
                disk.plan.lock().clear();
                let book = open(&disk, &notes, quick()).await;
                *disk.plan.lock() = plan.iter().map(|kind| match kind {
                    0 => Some(AppendError::Store("full".to_owned())),
                    1 => Some(AppendError::Unknown("trap".to_owned())),
                    _ => None,
                }).collect();
                for (request, settles) in requests {
                    let id = format!("{number}-{request}");
                    if !admitted.contains(&id) && book.admitted(&entry(&id, Outcome::Interrupted)).is_ok() {
                        admitted.insert(id.clone());
                        if *settles && book.settle(entry(&id, Outcome::Answered(200))).await.is_ok() {
                            acknowledged.insert(id);
                        }
                    }
                }
                // Dropped without a close: the requests that did not settle are open.
            }
            disk.plan.lock().clear();
            open(&disk, &notes, quick()).await.close().await;
            let mut ids = disk.ids();
            ids.sort();
            let once: Vec<_> = admitted.iter().cloned().collect();
            assert_eq!(ids, once);
            for id in acknowledged {
                let entries = disk.entries.lock();
                let entry = entries.iter().find(|entry| entry.request_id == id).unwrap();
                assert!(matches!(entry.outcome, Outcome::Answered(200)));
            }
        });
    }
}
