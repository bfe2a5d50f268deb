//! What an app was given, and nothing else.

use http::Request;
use testkit::{App, Case, Tenant};

fn kv(backend: &str) -> testkit::Host {
    Case::guest("kv_ops").grants(&format!("keyvalue = {{ default = \"{backend}\" }}")).start()
}

#[test]
fn a_store_keeps_what_was_set_on_either_backend() {
    for backend in ["memory", "sqlite"] {
        let host = kv(backend);
        let op = |query: &str| host.ask(Request::get(format!("/?{query}"))).text();
        assert_eq!(op("op=set&key=a&value=1"), "done\n", "{backend}");
        assert_eq!(op("op=get&key=a").trim(), "1", "{backend}");
        assert_eq!(op("op=exists&key=b").trim(), "false");
        assert_eq!(op("op=incr&key=n&delta=5").trim(), "5");
        assert_eq!(op("op=incr&key=n&delta=-2").trim(), "3");
        assert_eq!(op("op=cas&key=a&value=2"), "done\n", "{backend}");
        assert!(op("op=cas_lost&key=a&value=3").starts_with("changed to"), "{backend}");
        assert_eq!(op("op=delete&key=a"), "done\n");
        assert_eq!(op("op=exists&key=a").trim(), "false");
    }
}

#[test]
fn what_was_set_in_sqlite_is_there_after_a_restart() {
    let case = Case::guest("kv_ops").grants("keyvalue = { default = \"sqlite\" }");
    let first = case.spawn();
    let get = |process: &testkit::Process, query: &str| {
        let uri = format!("http://{}/?{query}", process.address());
        process.block_on(async {
            use http_body_util::BodyExt;
            let request =
                Request::get(uri).header("host", "acme.test").body(http_body_util::Full::default()).unwrap();
            let response = process.client().request(request).await.unwrap();
            String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
        })
    };
    assert_eq!(get(&first, "op=set&key=a&value=kept"), "done\n");
    let second = testkit::Process::again(first.kill());
    assert_eq!(get(&second, "op=get&key=a").trim(), "kept");
}

#[test]
fn two_tenants_never_share_a_key() {
    let tenant = |name: &str| {
        Tenant::new(name).app(App::guest("kv_ops").grants("keyvalue = { default = \"memory\" }"))
    };
    let host = Case::new().tenant(tenant("acme")).tenant(tenant("globex")).start();
    host.ask(Request::get("/?op=set&key=a&value=acmes"));
    let other = host.ask(Request::get("/?op=exists&key=a").header("host", "globex.test"));
    assert_eq!(other.text().trim(), "false");
}

#[test]
fn a_store_that_was_not_granted_can_not_be_opened() {
    let host = kv("memory");
    host.ask(Request::get("/?op=get&key=a&store=other")).expect_status(500).expect_in_body("NoSuchStore");
}

#[test]
fn configuration_is_what_the_manifest_says() {
    let host =
        Case::guest("config_dump").grants("config = { greeting = \"hello\", colour = \"red\" }").start();
    host.ask(Request::get("/")).expect_body("colour=red\ngreeting=hello\n");
}

#[test]
fn the_environment_is_empty_unless_given() {
    let bare = Case::guest("env_dump").grants("files = \"none\"").start();
    assert!(!bare.ask(Request::get("/")).expect_status(200).text().contains("env "));
    let given = Case::guest("env_dump").grants("files = \"none\"\nenvironment = { LANG = \"C\" }").start();
    given.ask(Request::get("/")).expect_in_body("env LANG=C\n");
}

#[test]
fn files_are_one_directory_and_read_only_means_it() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("a.txt"), "within").unwrap();
    let grant = |access: &str| {
        format!("files = {{ directory = \"{}\", access = \"{access}\" }}", data.path().display())
    };
    let reader = Case::guest("files").grants(&grant("read-only")).start();
    reader.ask(Request::get("/?op=read&path=/a.txt")).expect_body("within\n");
    reader.ask(Request::get("/?op=write&path=/b.txt&text=x")).expect_status(500);
    assert!(!data.path().join("b.txt").exists());
    for outside in ["/../../../../etc/passwd", "/../secret", "../../etc/hostname"] {
        reader.ask(Request::get(format!("/?op=read&path={outside}"))).expect_status(500);
    }
    let writer = Case::guest("files").grants(&grant("read-write")).start();
    writer.ask(Request::get("/?op=write&path=/b.txt&text=new")).expect_body("done\n");
    assert_eq!(std::fs::read_to_string(data.path().join("b.txt")).unwrap(), "new");
    std::os::unix::fs::symlink("/etc/hostname", data.path().join("link")).unwrap();
    writer.ask(Request::get("/?op=read&path=/link")).expect_status(500);
}

/// A second host, to be asked by the first.
fn upstream() -> testkit::Host {
    Case::guest("echo").any_host().start()
}

#[test]
fn an_allowed_origin_on_a_granted_network_is_reached() {
    let upstream = upstream();
    let origin = format!("http://{}", upstream.address());
    let host = Case::guest("egress")
        .grants(&format!("http = {{ allow = [\"{origin}\"], networks = [\"127.0.0.0/8\"] }}"))
        .start();
    let answer = host.ask(Request::get(format!("/?url={origin}/there"))).expect_status(200);
    assert!(answer.text().starts_with("200 "), "{}", answer.text());
    assert!(answer.record().metadata("calls.http-outgoing").is_some(), "{}", answer.record().0);
}

#[test]
fn an_origin_that_is_not_on_the_list_is_refused() {
    let upstream = upstream();
    let host = Case::guest("egress")
        .grants("http = { allow = [\"https://api.example.com\"], networks = [\"127.0.0.0/8\"] }")
        .start();
    let answer = host.ask(Request::get(format!("/?url=http://{}/", upstream.address())));
    answer.expect_in_body("error: Denied");
}

#[test]
fn a_private_address_is_refused_though_its_name_is_on_the_list() {
    let upstream = upstream();
    let origin = format!("http://{}", upstream.address());
    let host = Case::guest("egress")
        .grants(&format!(
            "http = {{ allow = [\"{origin}\", \"http://localhost:{}\"] }}",
            upstream.address().port()
        ))
        .start();
    host.ask(Request::get(format!("/?url={origin}/"))).expect_in_body("error: Denied");
    let by_name = format!("/?url=http://localhost:{}/", upstream.address().port());
    host.ask(Request::get(&by_name)).expect_in_body("error: Denied");
}

#[test]
fn outgoing_requests_of_one_run_are_counted_and_bounded() {
    let upstream = upstream();
    let origin = format!("http://{}", upstream.address());
    let host = Case::guest("egress")
        .limits("outgoing-requests = 2")
        .grants(&format!("http = {{ allow = [\"{origin}\"], networks = [\"127.0.0.0/8\"] }}"))
        .start();
    let text = host.ask(Request::get(format!("/?url={origin}/&times=5"))).text();
    assert_eq!(text.lines().filter(|line| line.starts_with("200 ")).count(), 2, "{text}");
    assert_eq!(text.matches("error: ").count(), 3, "{text}");
}

/// A tenant whose guest may reach this origin, and move so many bytes in an hour.
fn sender(name: &str, origin: &str, bytes: &str) -> Tenant {
    let grants = format!("http = {{ allow = [\"{origin}\"], networks = [\"127.0.0.0/8\"] }}");
    Tenant::new(name)
        .totals(&format!("egress-bytes-per-hour = {bytes}"))
        .app(App::guest("egress").grants(&grants))
}

/// What a tenant's outgoing requests have moved, and may.
fn moved(host: &testkit::Host, tenant: &str) -> (u64, u64) {
    let status: serde_json::Value = serde_json::from_str(&host.admin("/status").text()).unwrap();
    let figure = &status["tenants"][tenant]["egress_bytes_this_hour"];
    let number = |name: &str| figure[name].as_u64().unwrap_or_else(|| panic!("{status}"));
    (number("used"), number("limit"))
}

/// How many requests the upstream has answered.
fn answered(upstream: &testkit::Host) -> usize {
    upstream.log().records().len()
}

#[test]
fn bytes_of_outgoing_requests_are_bounded_by_the_hour() {
    let upstream = Case::guest("big_body").any_host().start();
    let origin = format!("http://{}", upstream.address());
    let host = Case::new()
        .tenant(sender("acme", &origin, "102_400"))
        .tenant(sender("quiet", &origin, "102_400"))
        .start();
    let ask = |tenant: &str, bytes: u64| {
        let request = Request::get(format!("/?url={origin}/?n={bytes}"));
        host.ask(request.header("host", format!("{tenant}.test"))).text()
    };
    let whole = ask("acme", 60_000);
    assert!(whole.starts_with("200 ") && whole.len() > 60_000, "{} bytes", whole.len());
    let (used, limit) = moved(&host, "acme");
    assert!((60_000..62_000).contains(&used) && limit == 102_400, "a body and two heads: {used} of {limit}");
    // More than is left: the guest gets no body that looks whole.
    assert!(ask("acme", 60_000).starts_with("error: "));
    assert!(moved(&host, "acme").0 > 102_400);
    // From then on it reaches nothing at all, however little it asks for.
    let before = answered(&upstream);
    assert!(ask("acme", 1).starts_with("error: "));
    assert_eq!(answered(&upstream), before, "nothing was sent");
    // A neighbour with the same total does.
    assert!(ask("quiet", 60_000).starts_with("200 "));
    assert_eq!(answered(&upstream), before + 1);
}

#[test]
fn heads_without_bodies_are_bytes_of_outgoing_requests_too() {
    let upstream = upstream();
    let origin = format!("http://{}", upstream.address());
    let host = Case::new().tenant(sender("acme", &origin, "50_000")).start();
    let head =
        |fields: u64| host.ask(Request::get(format!("/?url={origin}/&method=HEAD&fields={fields}"))).text();
    for sent in 1..=6 {
        assert_eq!(head(8_000), "200 \n", "{sent}");
        let used = moved(&host, "acme").0;
        assert!((8_000 * sent..8_600 * sent).contains(&used), "{sent} heads, and their answers': {used}");
    }
    // The seventh passes the total, and is the last.
    assert_eq!(head(8_000), "200 \n");
    let before = answered(&upstream);
    for fields in [8_000, 0] {
        assert!(head(fields).starts_with("error: "), "no byte is left");
    }
    assert_eq!(answered(&upstream), before, "nothing was sent");
}
