use super::*;
use http_body_util::{BodyExt, Empty};
use std::net::Ipv4Addr;

async fn ask(admin: &Admin, method: &str, uri: &str) -> (StatusCode, String) {
    let body: RequestBody = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::builder().method(method).uri(uri).body(body).unwrap();
    let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), tls: false };
    let response = admin.handle(request, peer).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn fine(name: &str) -> Check {
    Check::new(name, || Box::pin(std::future::ready(Ok(()))))
}

fn admin(checks: Vec<Check>) -> Admin {
    Admin::new(checks, Arc::new(Metrics::new()), || json!({ "tenants": { "acme": { "running": 1 } } }))
}

#[tokio::test(start_paused = true)]
async fn ready_means_that_every_dependency_says_so_in_time() {
    let well = admin(vec![fine("audit-log"), fine("stores")]);
    assert_eq!(ask(&well, "GET", "http://127.0.0.1/ready").await.0, StatusCode::OK);

    let broken = Check::new("stores", || Box::pin(std::future::ready(Err("disk full".to_owned()))));
    let silent = Check::new("gates", || Box::pin(std::future::pending()));
    let (status, text) =
        ask(&admin(vec![fine("audit-log"), broken, silent]), "GET", "http://localhost/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let report: Value = serde_json::from_str(&text).unwrap();
    let checks = json!({ "audit-log": "ok", "stores": "disk full", "gates": "no answer within 2 seconds" });
    assert_eq!(report, json!({ "ready": false, "checks": checks }));
}

#[tokio::test]
async fn a_host_that_stops_is_alive_and_not_ready() {
    let admin = admin(vec![fine("stores")]);
    admin.stopping();
    assert_eq!(ask(&admin, "GET", "http://[::1]:9000/live").await.0, StatusCode::OK);
    let (status, text) = ask(&admin, "GET", "http://[::1]:9000/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("\"host\": \"stopping\""), "{text}");
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_often_makes_no_more_work() {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let admin = admin(vec![Check::new("stores", move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(())))
    })]);
    for _ in 0..5 {
        ask(&admin, "GET", "http://localhost/ready").await;
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
    tokio::time::advance(HOLDS_FOR).await;
    ask(&admin, "GET", "http://localhost/ready").await;
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn each_path_has_its_answer_and_nothing_else_is_answered() {
    let admin = admin(Vec::new());
    for (method, uri, status, part) in [
        ("GET", "http://localhost/live", 200, "live"),
        ("GET", "http://localhost/metrics", 200, "# EOF"),
        ("GET", "http://localhost/status", 200, "\"acme\""),
        ("GET", "http://localhost/", 404, "/ready"),
        ("POST", "http://localhost/live", 405, "GET"),
        ("GET", "http://rebound.example/status", 421, "localhost"),
    ] {
        let (found, text) = ask(&admin, method, uri).await;
        assert_eq!(found.as_u16(), status, "{method} {uri}");
        assert!(text.contains(part), "{method} {uri}: {text}");
    }
}
