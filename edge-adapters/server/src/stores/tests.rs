use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use tollgate_runtime::{COUNTS, Keys, Swap};

/// Small enough that random writes come near every limit.
const LIMITS: StoreLimits =
    StoreLimits { key_bytes: 8, value_bytes: 24, batch_bytes: 64, store_bytes: 1 << 20 };

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[derive(Debug, Clone)]
enum Op {
    Get(String),
    Write(Vec<(String, Option<Vec<u8>>)>),
    Keys(Option<String>, usize),
    Swap(String, Option<Vec<u8>>, Vec<u8>),
    Increment(String, i64),
}

/// What an operation answered, in a form that can be compared: errors by their text.
#[derive(Debug, PartialEq)]
enum Answer {
    Value(Option<Bytes>),
    Keys(Keys),
    Swap(Swap),
    Sum(i64),
    Written,
    Error(String),
}

impl<T: Into<Answer>> From<Result<T, BucketError>> for Answer {
    fn from(result: Result<T, BucketError>) -> Self {
        result.map_or_else(|error| Self::Error(error.to_string()), Into::into)
    }
}

macro_rules! answers {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Answer {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}
answers!(Option<Bytes> => Value, Keys => Keys, Swap => Swap, i64 => Sum);

impl From<()> for Answer {
    fn from((): ()) -> Self {
        Self::Written
    }
}

async fn run(bucket: &dyn Bucket, op: &Op) -> Answer {
    match op.clone() {
        Op::Get(key) => bucket.get(&key).await.into(),
        Op::Write(changes) => {
            let changes = changes.into_iter().map(|(key, value)| (key, value.map(Bytes::from))).collect();
            bucket.write(changes).await.into()
        }
        Op::Keys(after, limit) => bucket.keys(after.as_deref(), limit).await.into(),
        Op::Swap(key, expected, value) => bucket.swap(&key, expected.as_deref(), value.into()).await.into(),
        Op::Increment(key, delta) => bucket.increment(&key, delta).await.into(),
    }
}

/// What any store must answer, in the plainest way.
fn model(entries: &mut BTreeMap<String, Vec<u8>>, op: &Op) -> Answer {
    let mut changes: Vec<(String, Option<Vec<u8>>)> = Vec::new();
    let answer = match op {
        Op::Get(key) => match LIMITS.key(key) {
            Ok(()) => Answer::Value(entries.get(key).cloned().map(Bytes::from)),
            Err(error) => Answer::Error(error.to_string()),
        },
        Op::Write(all) => {
            let sizes = LIMITS.batch(all.iter().map(|(key, value)| (key.as_str(), value.as_deref())));
            if sizes.is_ok() {
                changes.clone_from(all);
            }
            sizes.into()
        }
        Op::Keys(after, limit) => {
            let all: Vec<_> =
                entries.keys().filter(|&key| after.as_ref().is_none_or(|after| key > after)).collect();
            let keys: Vec<String> = all.iter().take(*limit).map(|&key| key.clone()).collect();
            let next = if all.len() > *limit { keys.last().cloned() } else { None };
            Answer::Keys(Keys { keys, next })
        }
        Op::Swap(key, expected, value) => match LIMITS.entry(key, Some(value)) {
            Err(error) => Answer::Error(error.to_string()),
            Ok(()) if entries.get(key) == expected.as_ref() => {
                changes.push((key.clone(), Some(value.clone())));
                Answer::Swap(Swap::Done)
            }
            Ok(()) => Answer::Swap(Swap::Lost(entries.get(key).cloned().map(Bytes::from))),
        },
        Op::Increment(key, delta) => {
            let sum = LIMITS.key(key).and_then(|()| add_decimal(entries.get(key).map(Vec::as_slice), *delta));
            if let Ok(sum) = sum {
                changes.push((key.clone(), Some(sum.to_string().into_bytes())));
            }
            sum.into()
        }
    };
    for (key, value) in changes {
        match value {
            Some(value) => drop(entries.insert(key, value)),
            None => drop(entries.remove(&key)),
        }
    }
    answer
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[abc]{0,2}", 2 => "[a\u{0}ä%/]{0,3}", 1 => "[x]{7,10}"]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any::<i8>().prop_map(|number| number.to_string().into_bytes()),
        1 => Just(i64::MAX.to_string().into_bytes()),
        2 => prop::collection::vec(any::<u8>(), 0..30),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let change = (key(), prop::option::of(value()));
    prop_oneof![
        key().prop_map(Op::Get),
        prop::collection::vec(change, 0..5).prop_map(Op::Write),
        (prop::option::of(key()), 1..4_usize).prop_map(|(after, limit)| Op::Keys(after, limit)),
        (key(), prop::option::of(value()), value())
            .prop_map(|(key, expected, value)| Op::Swap(key, expected, value)),
        (key(), prop_oneof![any::<i64>(), -3..3_i64]).prop_map(|(key, delta)| Op::Increment(key, delta)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn memory_and_sqlite_answer_as_the_model_does(ops in prop::collection::vec((any::<bool>(), op()), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteBuckets::open(&folder.path().join("db"), LIMITS).unwrap();
        let stores = Stores::new(MemoryBuckets::new(LIMITS), Some(sqlite));
        let tenants = [name("acme"), name("globex")];
        let open = |backend| tenants.clone().map(|tenant| stores.bucket(&tenant, &name("store"), backend).unwrap());
        let (memory, sqlite) = (open(Backend::Memory), open(Backend::Sqlite));
        let mut models = [BTreeMap::new(), BTreeMap::new()];
        for (second, op) in &ops {
            let tenant = usize::from(*second);
            let expected = model(&mut models[tenant], op);
            prop_assert_eq!(&runtime.block_on(run(&*memory[tenant], op)), &expected, "memory, {:?}", op);
            prop_assert_eq!(&runtime.block_on(run(&*sqlite[tenant], op)), &expected, "sqlite, {:?}", op);
        }
        // The books of bytes are true at the end, too: what is there adds up.
        for (tenant, model) in tenants.iter().zip(&models) {
            let bytes: usize = model.iter().map(|(key, value)| key.len() + value.len() + 96).sum();
            prop_assert_eq!(stores.memory().used_bytes(tenant), bytes as u64);
            prop_assert_eq!(stores.storage(tenant).used().used, 2 * bytes as u64, "memory and sqlite");
            let again = SqliteBuckets::open(&folder.path().join("db"), LIMITS).unwrap();
            prop_assert_eq!(again.totals().of(tenant).used().used, bytes as u64, "measured at opening");
        }
    }
}

/// A bucket of each backend, and what keeps their files.
fn both(limits: StoreLimits) -> (tempfile::TempDir, Stores) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteBuckets::open(&folder.path().join("db"), limits).unwrap();
    (folder, Stores::new(MemoryBuckets::new(limits), Some(sqlite)))
}

#[tokio::test]
async fn two_tenants_and_two_stores_share_no_key_whatever_their_names() {
    let (_folder, stores) = both(StoreLimits::default());
    for backend in [Backend::Memory, Backend::Sqlite] {
        for (tenant, store) in [("a-b", "c"), ("a", "b-c"), ("a", "b"), ("b", "a")] {
            let bucket = stores.bucket(&name(tenant), &name(store), backend).unwrap();
            assert_eq!(bucket.get("k").await.unwrap(), None, "{backend:?} {tenant} {store}");
            bucket.write(vec![("k".to_owned(), Some(Bytes::from(tenant.to_owned())))]).await.unwrap();
            assert_eq!(bucket.keys(None, 10).await.unwrap().keys, ["k"]);
        }
    }
}

#[tokio::test]
async fn a_full_store_takes_no_part_of_a_write_and_may_still_shrink() {
    let (_folder, stores) = both(StoreLimits { store_bytes: 400, ..StoreLimits::default() });
    for backend in [Backend::Memory, Backend::Sqlite] {
        let bucket = stores.bucket(&name("acme"), &name("s"), backend).unwrap();
        let large = |key: &str| (key.to_owned(), Some(Bytes::from(vec![7; 150])));
        bucket.write(vec![large("a")]).await.unwrap();
        let full = bucket.write(vec![("b".to_owned(), Some(Bytes::new())), large("c"), large("d")]).await;
        assert!(matches!(full, Err(BucketError::Full { limit: 400 })), "{backend:?}: {full:?}");
        assert_eq!(bucket.keys(None, 10).await.unwrap().keys, ["a"], "{backend:?}");
        let full = bucket.swap("e", None, Bytes::from(vec![7; 390])).await;
        assert!(matches!(full, Err(BucketError::Full { .. })), "{backend:?}: {full:?}");
        bucket.write(vec![("a".to_owned(), None), large("c")]).await.unwrap();
        assert_eq!(bucket.keys(None, 10).await.unwrap().keys, ["c"], "{backend:?}");
    }
}

/// A write of one key, with 200 bytes in all that count.
fn two_hundred(key: &str) -> Vec<(String, Option<Bytes>)> {
    vec![(key.to_owned(), Some(Bytes::from(vec![7; 104 - key.len()])))]
}

#[tokio::test]
async fn a_tenants_stores_have_one_total_whatever_they_stand_on() {
    let (_folder, stores) = both(StoreLimits::default());
    let open =
        |tenant: &str, store: &str, backend| stores.bucket(&name(tenant), &name(store), backend).unwrap();
    let storage = stores.storage(&name("acme"));
    storage.limit(500);
    let (memory, sqlite) = (open("acme", "a", Backend::Memory), open("acme", "b", Backend::Sqlite));
    memory.write(two_hundred("m")).await.unwrap();
    sqlite.write(two_hundred("s")).await.unwrap();
    for bucket in [&memory, &sqlite] {
        let full = bucket.write(two_hundred("more")).await;
        assert!(matches!(full, Err(BucketError::TotalFull { limit: 500 })), "{full:?}");
        assert!(matches!(bucket.increment("n", 10).await, Ok(10)), "99 bytes fit");
        assert!(matches!(bucket.increment("o", 10).await, Err(BucketError::TotalFull { .. })));
        bucket.write(vec![("n".to_owned(), None)]).await.unwrap();
        assert_eq!(storage.used().used, 400);
    }
    // Nobody else's, and not what the gate counts.
    open("globex", "a", Backend::Memory).write(two_hundred("more")).await.unwrap();
    open("acme", COUNTS, Backend::Memory).write(two_hundred("more")).await.unwrap();
    open("acme", COUNTS, Backend::Sqlite).write(two_hundred("more")).await.unwrap();
    assert_eq!(storage.used().used, 400);
    // Room in one is room in the other.
    sqlite.write(vec![("s".to_owned(), None)]).await.unwrap();
    memory.write(two_hundred("more")).await.unwrap();
    assert_eq!(
        (memory.keys(None, 9).await.unwrap().keys, storage.used().used),
        (vec!["m".into(), "more".into()], 400)
    );
}

#[tokio::test]
async fn what_a_database_holds_is_counted_when_it_is_opened_and_may_be_more_than_the_total() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let sqlite = SqliteBuckets::open(&folder.path().join("db"), StoreLimits::default()).unwrap();
        Stores::new(MemoryBuckets::new(StoreLimits::default()), Some(sqlite))
    };
    let tenant = name("acme");
    {
        let stores = open();
        for store in ["a", "b", COUNTS] {
            let bucket = stores.bucket(&tenant, &name(store), Backend::Sqlite).unwrap();
            bucket.write(two_hundred("k")).await.unwrap();
            bucket.write(two_hundred("k2")).await.unwrap();
        }
        assert_eq!(stores.storage(&tenant).used().used, 800);
    }
    let stores = open();
    let storage = stores.storage(&tenant);
    storage.limit(500);
    assert_eq!((storage.used().used, storage.used().limit), (800, 500));
    let bucket = stores.bucket(&tenant, &name("a"), Backend::Sqlite).unwrap();
    assert!(matches!(bucket.write(two_hundred("k3")).await, Err(BucketError::TotalFull { limit: 500 })));
    bucket.write(vec![("k".to_owned(), None), ("k2".to_owned(), Some(Bytes::from("less")))]).await.unwrap();
    assert_eq!(storage.used().used, 400 + 2 + 4 + 96, "what is too much may become less");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_the_same_time_do_not_pass_the_total_together() {
    let (_folder, stores) = both(StoreLimits::default());
    let tenant = name("acme");
    let storage = stores.storage(&tenant);
    storage.limit(20 * 200 + 50);
    let buckets =
        [("a", Backend::Memory), ("b", Backend::Sqlite), ("c", Backend::Memory), ("d", Backend::Sqlite)]
            .map(|(store, backend)| stores.bucket(&tenant, &name(store), backend).unwrap());
    let tasks = (0..16).map(|task| {
        let bucket = buckets[task % buckets.len()].clone();
        tokio::spawn(async move {
            let mut written = 0;
            for number in 0..10 {
                match bucket.write(two_hundred(&format!("{task}-{number}"))).await {
                    Ok(()) => written += 1,
                    Err(error) => assert!(matches!(error, BucketError::TotalFull { .. }), "{error}"),
                }
            }
            written
        })
    });
    let written: usize = futures::future::try_join_all(tasks).await.unwrap().into_iter().sum();
    assert_eq!((written, storage.used().used), (20, 4_000), "160 writes, and room for 20");
    let mut keys = 0;
    for bucket in &buckets {
        keys += bucket.keys(None, 200).await.unwrap().keys.len();
    }
    assert_eq!(keys, 20, "what was refused is not there");
}

#[tokio::test(start_paused = true)]
async fn keys_that_nobody_wrote_for_the_idle_time_make_room() {
    let memory = MemoryBuckets::new(StoreLimits { store_bytes: 1_000, ..StoreLimits::default() });
    let (tenant, store) = (name("acme"), name("limiter"));
    memory.forget_idle(&tenant, &store, Duration::from_secs(60));
    let bucket = memory.open(&tenant, &store);
    let mut taken = 0;
    while bucket.increment(&format!("client-{taken}"), 1).await.is_ok() {
        taken += 1;
    }
    assert!(taken > 5, "{taken}");
    tokio::time::advance(Duration::from_secs(30)).await;
    bucket.increment("client-0", 1).await.unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    // Everybody's place but one is free for somebody else.
    for number in 1..taken {
        bucket.increment(&format!("joiner-{number}"), 1).await.unwrap();
    }
    let page = bucket.keys(None, 100).await.unwrap();
    let old: Vec<_> = page.keys.iter().filter(|key| key.starts_with("client-")).collect();
    assert_eq!(old, ["client-0"], "what was written 31 seconds ago stays");
}

#[tokio::test]
async fn without_sqlite_the_backend_is_named() {
    let stores = Stores::new(MemoryBuckets::new(StoreLimits::default()), None);
    let refused = stores.bucket(&name("acme"), &name("s"), Backend::Sqlite).err().unwrap();
    assert_eq!(refused.to_string(), "no `sqlite` backend is configured");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_increments_and_swaps_are_exact() {
    let (_folder, stores) = both(StoreLimits::default());
    for backend in [Backend::Memory, Backend::Sqlite] {
        let bucket = stores.bucket(&name("acme"), &name("s"), backend).unwrap();
        let tasks = (0..8).map(|_| {
            let bucket = Arc::clone(&bucket);
            tokio::spawn(async move {
                for _ in 0..25 {
                    bucket.increment("sum", 1).await.unwrap();
                    let mut seen = bucket.get("swapped").await.unwrap();
                    loop {
                        let next = add_decimal(seen.as_deref(), 1).unwrap().to_string();
                        match bucket.swap("swapped", seen.as_deref(), next.into()).await.unwrap() {
                            Swap::Done => break,
                            Swap::Lost(now) => seen = now,
                        }
                    }
                }
            })
        });
        futures::future::try_join_all(tasks).await.unwrap();
        for key in ["sum", "swapped"] {
            assert_eq!(
                bucket.get(key).await.unwrap().as_deref(),
                Some(b"200".as_slice()),
                "{backend:?} {key}"
            );
        }
    }
}
