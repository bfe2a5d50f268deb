//! Mode `concurrent`: several requests at one time in one instance, each on its own bill and under its own limits.

use http::Request;
use std::sync::Barrier;
use testkit::{Answer, App, Case, Host, Http1, Tenant};

const TOGETHER: &str = "mode = \"concurrent\"\nat-once = 16\nreuse = 1_000";

fn together() -> Case {
    Case::guest("together").keys(TOGETHER)
}

/// Asks for all of these at one time.
fn all_at_once(host: &Host, paths: &[String]) -> Vec<Answer> {
    let start = Barrier::new(paths.len());
    std::thread::scope(|scope| {
        let asked: Vec<_> = paths
            .iter()
            .map(|path| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    host.ask(Request::get(path))
                })
            })
            .collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

fn paths(count: usize, path: impl Fn(usize) -> String) -> Vec<String> {
    (0..count).map(path).collect()
}

/// How many requests the instance had before, and how many it had at one time.
fn said(answer: &Answer) -> (u32, u32) {
    let text = answer.text();
    let (before, most) = text.trim().split_once(' ').unwrap();
    (before.parse().unwrap(), most.parse().unwrap())
}

/// Which of several requests share an instance is a matter of who is computing when they come. Does it again until it was
/// as the story needs it.
#[track_caller]
fn until_shared(once: impl FnMut(usize) -> bool) {
    assert!((0..20).any(once), "in twenty attempts too few were in one instance");
}

#[test]
fn an_instance_answers_others_while_one_waits() {
    let host = together().start();
    let mut answers = Vec::new();
    until_shared(|_| {
        answers = all_at_once(&host, &paths(8, |_| "/?do=wait-300".to_owned()));
        answers.iter().any(|answer| said(answer).1 >= 4)
    });
    for answer in answers {
        let answer = answer.expect_status(200).expect_audit("answered:200");
        let record = answer.record();
        assert_eq!(record.metadata("mode"), Some("concurrent"));
        assert!(matches!(record.metadata("instance"), Some("shared" | "fresh")));
        assert!(record.used("wall_ns") >= 300_000_000);
        assert!(record.used("cpu_ns") < 300_000_000, "to wait is not to compute");
    }
}

#[test]
fn each_is_billed_for_its_own_work_and_no_other() {
    // Between two waits, so that the parts of all of them lie between one another's.
    let path = |n: usize| {
        format!("/?do=wait-5,work-{n}000,wait-5,call-{n},wait-5,work-{n}000&then=wait-5,work-{n}000")
    };
    let alone = together().start();
    // The first one pays for the instance, and a library's first use.
    alone.ask(Request::get(path(1))).expect_status(200);
    alone.ask(Request::get(path(1))).expect_status(200);
    let alone: Vec<_> = (1..=8).map(|n| alone.ask(Request::get(path(n))).expect_status(200)).collect();

    let host = together().start();
    let mut mixed = Vec::new();
    until_shared(|_| {
        mixed = all_at_once(&host, &paths(24, |n| path(n % 8 + 1)));
        let shared = |answer: &&Answer| answer.record().metadata("instance") == Some("shared");
        mixed.iter().filter(shared).count() >= 16
    });
    for (n, answer) in
        mixed.iter().enumerate().filter(|(_, a)| a.record().metadata("instance") == Some("shared"))
    {
        let (own, expected) = (answer.record(), alone[n % 8].record());
        let (fuel, by_itself) = (own.used("fuel") as f64, expected.used("fuel") as f64);
        // Whose turn it is decides on a few instructions of the guest's own scheduler.
        assert!((fuel / by_itself - 1.0).abs() < 0.02, "request {n}: {fuel} and {by_itself} fuel");
        let (calls, by_itself) = (own.used("host_calls"), expected.used("host_calls"));
        assert!(calls.abs_diff(by_itself) <= 3, "request {n}: {calls} and {by_itself} calls");
    }
    let sum = |answers: &[Answer]| answers.iter().map(|a| a.record().used("fuel")).sum::<u64>() as f64;
    let (together, by_themselves) = (sum(&mixed), 3.0 * sum(&alone));
    assert!((together / by_themselves - 1.0).abs() < 0.2, "nothing is lost: {together} and {by_themselves}");
}

#[test]
fn lines_of_log_are_of_the_request_that_wrote_them() {
    let process = together().spawn();
    let ask = |n: usize| {
        process.get(&format!("/?do=wait-20,say-one_{n},wait-20,say-two_{n}&then=wait-20,say-three_{n}"))
    };
    let ids: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..8).map(|n| scope.spawn(move || ask(n).expect_status(200).request_id())).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let log = process.stderr_with(24, "tollgate::guest");
    for (n, id) in ids.iter().enumerate() {
        for line in ["one", "two", "three"] {
            let line = log.lines().find(|text| text.contains(&format!("{line}_{n}"))).expect("the line");
            assert!(line.contains(id.as_str()), "{id}: {line}");
        }
    }
}

#[test]
fn who_waits_too_long_goes_alone_and_the_others_are_served() {
    let path = |n: usize| match n {
        3 => "/?do=wait-5000".to_owned(),
        _ => "/?do=wait-200&then=wait-50".to_owned(),
    };
    until_shared(|_| {
        let host = together().limits("deadline-ms = 1_000\nhost-wait-ms = 400").start();
        let mut at_one_time = 0;
        for (n, answer) in all_at_once(&host, &paths(8, path)).into_iter().enumerate() {
            if n == 3 {
                answer.expect_problem(504, "host-wait").expect_audit("failed:host-wait");
            } else {
                let answer = answer.expect_status(200).expect_audit("answered:200");
                at_one_time = at_one_time.max(said(&answer).1);
            }
        }
        // The instance in which the sleeper still lies gets no more.
        let (before, _) = said(&host.ask(Request::get("/")).expect_status(200));
        let shared = at_one_time == 8;
        assert!(!shared || before == 0, "{before}");
        shared
    });
}

#[test]
fn who_holds_the_whole_instance_is_stopped_by_the_same_limits() {
    let host = together().limits("deadline-ms = 300").start();
    let answer = host.ask(Request::get("/?do=sleep-5000")).expect_problem(504, "deadline");
    assert!(answer.record().used("wall_ns") < 500_000_000, "{}", answer.record().used("wall_ns"));
    host.ask(Request::get("/")).expect_status(200);
}

#[test]
fn who_holds_the_whole_instance_does_not_put_off_the_deadline_of_others() {
    let host = together().limits("deadline-ms = 300").start();
    // The second comes into the instance while the first holds it, and holds it when the first is to be stopped.
    let answers = all_at_once(&host, &["/?do=sleep-250", "/?do=sleep-9000"].map(str::to_owned));
    for answer in answers {
        assert!(matches!(answer.status(), 200 | 503 | 504), "{}", answer.text());
        assert!(answer.record().used("wall_ns") < 2_000_000_000, "{}", answer.record().0);
    }
    host.ask(Request::get("/")).expect_status(200);
}

#[test]
fn who_breaks_a_limit_or_traps_takes_the_instance_with_it_and_all_say_so() {
    let limits = "fuel = 50_000_000\nmemory-bytes = \"32MiB\"\nhost-calls = 5_000\ndeadline-ms = 5_000";
    let quiet = || Tenant::new("quiet").app(App::guest("echo"));
    for (steps, status, fault) in [
        ("spin", 502, "out-of-fuel"),
        ("trap", 502, "trap"),
        ("grow-64", 502, "out-of-memory"),
        ("call-9000", 502, "host-calls"),
    ] {
        let host = together().limits(limits).tenant(quiet()).start();
        let path = |n: usize| match n {
            0 => format!("/?do=wait-150,{steps}"),
            _ => "/?do=wait-600".to_owned(),
        };
        until_shared(|_| {
            let mut answers = all_at_once(&host, &paths(6, path)).into_iter();
            let culprit = answers.next().unwrap();
            culprit.expect_problem(status, fault).expect_audit(&format!("failed:{fault}"));
            let (whole, lost): (Vec<_>, Vec<_>) = answers.partition(|other| other.status() == 200);
            whole.into_iter().for_each(|other| drop(other.expect_audit("answered:200")));
            let shared = !lost.is_empty();
            for other in lost {
                other.expect_problem(503, "instance-lost").expect_audit("failed:instance-lost");
            }
            shared
        });
        host.ask(Request::get("/").header("host", "quiet.test")).expect_status(200);
        host.ask(Request::get("/")).expect_status(200);
    }
}

#[test]
fn a_body_is_cut_when_another_request_ends_the_instance() {
    let host = together().start();
    let path = |n: usize| match n {
        0 => "/?do=wait-200,trap".to_owned(),
        _ => "/?then=wait-700".to_owned(),
    };
    until_shared(|_| {
        let answers = all_at_once(&host, &paths(4, path)).into_iter().skip(1);
        let mut shared = false;
        for cut in answers.filter(|answer| answer.record().outcome() != "answered:200") {
            cut.expect_cut().expect_audit("failed:instance-lost");
            shared = true;
        }
        shared
    });
}

#[test]
fn a_loop_is_stopped_by_cpu_time_while_others_wait() {
    let limits = "fuel = 1_000_000_000_000\ngas = 2_000_000_000_000\ncpu-ms = 100";
    let host = together().limits(limits).start();
    let path = |n: usize| if n == 0 { "/?do=wait-50,spin".to_owned() } else { "/?do=wait-100".to_owned() };
    let answers = all_at_once(&host, &paths(4, path));
    let mut answers = answers.into_iter();
    let culprit = answers.next().unwrap().expect_problem(504, "cpu-time");
    for other in answers.filter(|other| other.status() != 200) {
        other.expect_problem(503, "instance-lost").expect_audit("failed:instance-lost");
    }
    let cpu = culprit.record().used("cpu_ns") / 1_000_000;
    assert!((100..400).contains(&cpu), "{cpu} ms");
}

#[test]
fn an_instance_is_dropped_after_so_many_requests() {
    let host = Case::guest("together").keys("mode = \"concurrent\"\nreuse = 3").start();
    let before: Vec<_> = (0..5).map(|_| said(&host.ask(Request::get("/"))).0).collect();
    assert_eq!(before, [0, 1, 2, 0, 1]);
}

#[test]
fn who_computes_for_long_is_not_taken_for_stuck_when_others_end() {
    let limits = "cpu-ms = 5_000\nfuel = 50_000_000_000\ngas = 100_000_000_000";
    let host = together().limits(limits).start();
    let path = |n: usize| match n {
        0 => "/?do=wait-30,work-60000000".to_owned(),
        _ => "/?do=wait-60".to_owned(),
    };
    let answers = all_at_once(&host, &paths(6, path));
    let cpu = answers[0].record().used("cpu_ns") / 1_000_000;
    assert!(cpu > 60, "it computed for {cpu} ms only: the others have to end in the middle of it");
    answers.into_iter().for_each(|answer| drop(answer.expect_status(200).expect_audit("answered:200")));
}

#[test]
fn a_client_that_leaves_is_recorded_and_the_others_stay() {
    let host = together().start();
    let mut client = Http1::connect(host.address());
    client.send("GET /?do=wait-100&then=wait-300 HTTP/1.1\r\nhost: acme.test\r\n\r\n");
    assert!(client.has_head());
    let others = all_at_once(&host, &paths(4, |_| "/?do=wait-200".to_owned()));
    client.reset();
    others.into_iter().for_each(|answer| drop(answer.expect_status(200)));
    host.ask(Request::get("/")).expect_status(200);
    let log = host.log();
    let _site = host.stop();
    let outcomes: Vec<_> = log.records().iter().map(testkit::Record::outcome).collect();
    let of = |outcome: &str| outcomes.iter().filter(|other| *other == outcome).count();
    assert_eq!((of("abandoned"), of("answered:200")), (1, 5), "{outcomes:?}");
}

#[test]
fn a_head_without_a_body_leaves_the_instance_as_good_as_before() {
    let host = together().start();
    host.ask(Request::head("/?then=wait-20")).expect_status(200).expect_audit("answered:200");
    let (before, _) = said(&host.ask(Request::get("/")).expect_status(200));
    assert_eq!(before, 1, "the same instance");
}

#[test]
fn an_app_of_wasi_http_0_2_can_not_be_concurrent() {
    let host = Case::guest("hello-02").keys("mode = \"concurrent\"").start();
    let troubles = host.running().troubles().join("\n");
    assert!(troubles.contains("mode `concurrent`"), "{troubles}");
}

#[test]
fn idle_instances_of_one_tenant_make_room_for_another_at_once() {
    let app = |n: usize| {
        let named = App::guest("together").named(&format!("a{n}")).keys(TOGETHER);
        named.route(&format!("host = \"a{n}.test\""))
    };
    let many = (0..6).fold(Tenant::new("many"), |tenant, n| tenant.app(app(n)));
    let quiet = Tenant::new("quiet").app(App::guest("echo"));
    let host = Case::new().capacity("instances = 4").tenant(many).tenant(quiet).start();
    for _ in 0..5 {
        for n in 0..6 {
            host.ask(Request::get("/").header("host", format!("a{n}.test"))).expect_status(200);
        }
        host.ask(Request::get("/").header("host", "quiet.test")).expect_status(200);
    }
}
