//! The attacks: each an app that does one hostile thing, and what must come of it.

use testkit::{Attack, Evidence, Sending, Want};

/// Every attack.
pub(super) fn all() -> Vec<Attack> {
    [loops(), memory(), host_calls(), waiting(), bodies(), heads(), handles(), logs(), traps(), refused()]
        .concat()
}

/// So much fuel and gas that only the clocks are left.
const BY_CLOCK: &str =
    "fuel = 1_000_000_000_000, gas = 2_000_000_000_000, host-calls = 1_000_000_000, deadline-ms = 30_000";

const OUT_OF_FUEL: Want = Want::Problem(502, "out-of-fuel");
const OUT_OF_MEMORY: Want = Want::Problem(502, "out-of-memory");
const HOST_CALLS: Want = Want::Problem(502, "host-calls");
const CPU_TIME: Want = Want::Problem(504, "cpu-time");
const DEADLINE: Want = Want::Problem(504, "deadline");
const TRAP: Want = Want::Problem(502, "trap");

/// So much time that only fuel is left.
const BY_FUEL: &str = "cpu-ms = 10_000, deadline-ms = 30_000";

fn fuel(name: &'static str, guest: &'static str) -> Attack {
    Attack::new(name, guest, OUT_OF_FUEL).limits(BY_FUEL).figure("fuel")
}

fn cpu(name: &'static str, guest: &'static str) -> Attack {
    Attack::new(name, guest, CPU_TIME).limits(BY_CLOCK).figure("cpu-ms")
}

fn deadline(name: &'static str, guest: &'static str) -> Attack {
    Attack::new(name, guest, DEADLINE).figure("deadline-ms")
}

fn memory_limit(name: &'static str, guest: &'static str) -> Attack {
    Attack::new(name, guest, OUT_OF_MEMORY).figure("memory-bytes")
}

/// Work without end, in every place where guest code runs.
fn loops() -> Vec<Attack> {
    vec![
        fuel("loop", "spin_forever"),
        cpu("loop-cpu", "spin_forever"),
        Attack::new("loop-start", "spin_in_start", OUT_OF_FUEL).limits(BY_FUEL),
        cpu("loop-start-cpu", "spin_in_start"),
        fuel("loop-realloc", "spin_in_realloc"),
        cpu("loop-realloc-cpu", "spin_in_realloc"),
        fuel("loop-post-return", "spin_in_post_return"),
        cpu("loop-post-return-cpu", "spin_in_post_return"),
        Attack::new("loop-in-body", "spin_forever", Want::Cut)
            .target("/?in=body")
            .limits(BY_FUEL)
            .outcomes(&["failed:out-of-fuel"])
            .figure("fuel"),
        Attack::new("loop-after-answer", "after_response", Want::Whole(200))
            .target("/?then=spin")
            .limits(BY_FUEL)
            .outcomes(&["failed:out-of-fuel"])
            .figure("fuel"),
        Attack::new("recursion", "deep_recursion", Want::Problem(502, "stack-overflow")),
        fuel("bulk-memory", "bulk_memory"),
        cpu("bulk-memory-cpu", "bulk_memory"),
        fuel("bulk-table", "bulk_table"),
        cpu("bulk-table-cpu", "bulk_table"),
    ]
}

/// Memory and tables.
fn memory() -> Vec<Attack> {
    vec![
        memory_limit("grow-memory", "grow_one_memory").target("/?then=trap"),
        memory_limit("grow-memories", "grow_many_memories"),
        memory_limit("grow-table", "grow_one_table"),
        memory_limit("grow-tables", "grow_many_tables").limits("memory-bytes = \"4MiB\""),
    ]
}

/// Calls into the host, as many as there can be or one that asks for much.
fn host_calls() -> Vec<Attack> {
    let storm = |name, guest| Attack::new(name, guest, HOST_CALLS).figure("host-calls");
    vec![
        storm("calls-clocks", "bombs").target("/?kind=clocks"),
        cpu("calls-clocks-cpu", "bombs").target("/?kind=clocks"),
        storm("calls-random", "bombs").target("/?kind=random"),
        storm("calls-poll", "bombs_02").target("/?kind=poll"),
        cpu("calls-poll-cpu", "bombs_02").target("/?kind=poll"),
        Attack::new("calls-poll-many", "bombs_02", Want::Anything)
            .target("/?kind=poll-many")
            .outcomes(&["failed:handles", "failed:host-calls"]),
        storm("calls-fields", "bombs").target("/?kind=one-fields"),
        Attack::new("random-bytes", "bombs", Want::Whole(200))
            .target("/?kind=random-bytes")
            .look(little_was_given),
        Attack::new("random-bytes-02", "bombs_02", TRAP).target("/?kind=random-bytes"),
        Attack::new("calls-gas", "bombs", Want::Problem(502, "out-of-gas"))
            .target("/?kind=clocks")
            .limits("gas = 1_000_000")
            .figure("gas"),
        Attack::new("calls-store", "kv_ops", Want::Anything)
            .target("/?op=hoard&key=a&delta=1000000")
            .grants("keyvalue = { default = \"memory\" }"),
        Attack::new("outgoing", "egress", Want::Whole(200))
            .target("/?url=ORIGIN/&times=200")
            .grants("http = { allow = [\"ORIGIN\"], networks = [\"127.0.0.0/8\"] }")
            .figure("outgoing-requests")
            .look(only_what_was_allowed_went_out),
    ]
}

/// Time that passes without work, or with very little.
fn waiting() -> Vec<Attack> {
    vec![
        deadline("sleep", "sleep_forever"),
        deadline("sleep-start", "sleep_in_start"),
        deadline("wait", "wait_forever"),
        Attack::new("wait-for-host", "wait_forever", Want::Problem(504, "host-wait"))
            .limits("host-wait-ms = 200"),
        Attack::new("wait-zero", "bombs", Want::Anything).target("/?kind=wait-zero").outcomes(&[
            "failed:out-of-fuel",
            "failed:cpu-time",
            "failed:deadline",
            "failed:host-calls",
        ]),
        Attack::new("wait-after-answer", "after_response", Want::Whole(200))
            .target("/?then=wait")
            .outcomes(&["failed:deadline"])
            .figure("deadline-ms"),
        deadline("body-withheld", "bytes_in").sending(Sending::Withheld),
        Attack::new("body-endless", "bytes_in", Want::Anything).sending(Sending::Endless),
        deadline("body-unread", "wait_forever").sending(Sending::Endless),
    ]
}

/// Response bodies.
fn bodies() -> Vec<Attack> {
    let cut = |name, guest| Attack::new(name, guest, Want::Cut);
    vec![
        cut("body-fast", "big_body").target("/?n=1000000000000").outcomes(&["failed:response-too-large"]),
        cut("body-bytes", "big_body").target("/?n=1000000000000&piece=1").outcomes(&[
            "failed:out-of-fuel",
            "failed:deadline",
            "failed:cpu-time",
            "failed:response-too-large",
        ]),
        cut("body-slow", "slow_body")
            .target("/?n=1000000&ms=1")
            .outcomes(&["failed:deadline", "failed:out-of-fuel"]),
        cut("body-endless-02", "bombs_02").target("/?kind=endless").outcomes(&[
            "failed:host-calls",
            "failed:out-of-fuel",
            "failed:cpu-time",
            "failed:deadline",
        ]),
        cut("body-trap", "trap_mid_body").outcomes(&["failed:trap"]),
        cut("body-given-up", "cut_body"),
        cut("body-unfinished-02", "bombs_02").target("/?kind=unfinished"),
        cut("length-longer", "bad_head").target("/?header=content-length:10&bytes=5"),
        cut("length-shorter", "bad_head").target("/?header=content-length:5&bytes=10"),
        // With room for all that it writes: else what is read of it at a tick could break another limit first.
        Attack::new("body-overrun-02", "bombs_02", Want::Anything)
            .target("/?kind=overrun")
            .limits("response-body-bytes = \"100MiB\"")
            .outcomes(&["failed:trap"]),
    ]
}

/// Heads and trailers of responses.
fn heads() -> Vec<Attack> {
    let bad = |name, target| Attack::new(name, "bad_head", Want::Problem(502, "bad-response")).target(target);
    vec![
        Attack::new("headers-many", "many_headers", Want::Anything).target("/?n=5000"),
        Attack::new("headers-small", "many_headers", Want::Anything).target("/?n=5000&bytes=0"),
        Attack::new("headers-long", "many_headers", Want::Anything).target("/?n=1&bytes=1000000"),
        Attack::new("trailers-many", "bad_head", Want::Whole(200)).target("/?bytes=10&trailers=5000"),
        Attack::new("headers-forbidden", "bad_head", Want::Whole(200))
            .target(
                "/?header=connection:x-secret&header=transfer-encoding:gzip&header=upgrade:h2c\
                 &header=keep-alive:9&header=host:a&header=http2-settings:a&header=te:trailers\
                 &header=proxy-connection:close&header=tollgate-request-id:forged&header=tollgate-tenant:quiet\
                 &header=x-plain:1",
            )
            .look(no_forbidden_header_went_out),
        Attack::new("headers-split", "bad_head", Want::Anything)
            .target("/?header=x-a:1%0d%0ax-b:%202&header=x%20y:1&header=:1")
            .look(no_forbidden_header_went_out),
        Attack::new("length-twice", "bad_head", Want::Cut)
            .target("/?header=content-length:5&header=content-length:6&bytes=5"),
        Attack::new("length-no-number", "bad_head", Want::Anything).target("/?header=content-length:five&bytes=5"),
        bad("status-100", "/?status=100"),
        bad("status-101", "/?status=101"),
        bad("status-103", "/?status=103"),
        bad("status-199", "/?status=199"),
        Attack::new("status-600", "bad_head", Want::Anything).target("/?status=600"),
        Attack::new("status-999", "bad_head", Want::Anything).target("/?status=999"),
        Attack::new("status-0", "bad_head", Want::Anything).target("/?status=0"),
        Attack::new("status-204-body", "bad_head", Want::Anything).target("/?status=204&bytes=100"),
    ]
}

/// Handles, tasks, streams, futures and timers that are made and never given back.
fn handles() -> Vec<Attack> {
    let bomb = |name, guest, target| {
        Attack::new(name, guest, Want::Problem(502, "handles")).target(target).figure("handles")
    };
    vec![
        bomb("handles", "bombs", "/?kind=fields"),
        bomb("handles-02", "bombs_02", "/?kind=fields"),
        bomb("streams", "bombs", "/?kind=streams"),
        bomb("futures", "bombs", "/?kind=futures"),
        bomb("timers", "bombs", "/?kind=timers"),
        bomb("timers-02", "bombs_02", "/?kind=pollables"),
        Attack::new("tasks", "many_tasks", Want::Anything),
    ]
}

/// What is written to the log.
fn logs() -> Vec<Attack> {
    let flood = |name| Attack::new(name, "log_flood", Want::Anything).look(few_lines_are_in_the_log);
    vec![
        flood("log-lines").target("/?lines=5000"),
        flood("log-one-line").target("/?lines=5000&bytes=10000&break=none"),
        flood("log-empty-lines").target("/?lines=5000&bytes=0"),
        Attack::new("log-injection", "log_inject", Want::Whole(200)).look(each_line_is_one_line),
    ]
}

/// Ends.
fn traps() -> Vec<Attack> {
    vec![
        Attack::new("trap", "trap_before_head", TRAP),
        Attack::new("trap-after-answer", "after_response", Want::Whole(200))
            .target("/?then=trap")
            .outcomes(&["failed:trap"]),
        Attack::new("silent-02", "bombs_02", Want::Anything)
            .target("/?kind=silent")
            .outcomes(&["failed:trap", "failed:no-response"]),
        Attack::new("twice-02", "bombs_02", Want::Cut).target("/?kind=twice").outcomes(&["failed:trap"]),
    ]
}

/// What does not load.
fn refused() -> Vec<Attack> {
    let refused = |name, guest| Attack::new(name, guest, Want::Problem(503, "app-refused"));
    vec![
        refused("ungranted", "ungranted_import"),
        refused("start-with-much", "start_with_much"),
        refused("nine-memories", "nine_memories"),
    ]
}

fn only_what_was_allowed_went_out(evidence: &Evidence<'_>) -> Result<(), String> {
    let most = 8 * evidence.replies.len() as u64;
    if evidence.upstream > most { Err(format!("{} went out, of {most}", evidence.upstream)) } else { Ok(()) }
}

fn little_was_given(evidence: &Evidence<'_>) -> Result<(), String> {
    let got = evidence.replies.iter().map(testkit::Reply::text).find(|text| text != "65536 bytes\n");
    got.map_or(Ok(()), |got| Err(format!("the guest got {got}")))
}

fn no_forbidden_header_went_out(evidence: &Evidence<'_>) -> Result<(), String> {
    const FORBIDDEN: [&str; 11] = [
        "upgrade",
        "keep-alive",
        "host",
        "http2-settings",
        "te",
        "proxy-connection",
        "x-secret",
        "tollgate-tenant",
        "x-b",
        "x y",
        "",
    ];
    for reply in evidence.replies {
        let forbidden = reply.headers.iter().find(|(name, value)| {
            let forged = value == "forged" || value == "gzip" || value.contains("x-secret");
            FORBIDDEN.contains(&name.as_str()) || forged
        });
        if let Some((name, value)) = forbidden {
            return Err(format!("`{name}: {value}` went out"));
        }
    }
    Ok(())
}

/// The lines of the log that tell what the guests of these requests wrote.
fn lines<'a>(evidence: &'a Evidence<'_>) -> impl Iterator<Item = &'a str> {
    let ids: Vec<&str> = evidence.records.iter().map(|record| record.text("request_id")).collect();
    evidence
        .stderr
        .lines()
        .filter(move |line| line.contains("tollgate::guest") && ids.iter().any(|id| line.contains(id)))
}

fn few_lines_are_in_the_log(evidence: &Evidence<'_>) -> Result<(), String> {
    let (found, most) = (lines(evidence).count(), 20 * evidence.records.len());
    let longest = lines(evidence).map(str::len).max().unwrap_or(0);
    if found == 0 || found > most || longest > 8_192 {
        return Err(format!(
            "{found} lines are in the log, of at most {most}; the longest has {longest} bytes"
        ));
    }
    Ok(())
}

fn each_line_is_one_line(evidence: &Evidence<'_>) -> Result<(), String> {
    let found: Vec<&str> = lines(evidence).collect();
    if found.len() != 2 * evidence.records.len() {
        return Err(format!("{} lines, of {} requests that wrote two", found.len(), evidence.records.len()));
    }
    for line in found {
        if !line.contains("begin") || !line.contains(" end") {
            return Err(format!("a line is in pieces: {line:?}"));
        }
        if let Some(c) =
            line.chars().find(|c| c.is_control() || "\u{2028}\u{2029}\u{202e}\u{200b}\u{feff}".contains(*c))
        {
            return Err(format!("U+{:04X} is in the log as it is: {line:?}", c as u32));
        }
    }
    Ok(())
}
