use super::*;
use crate::audit_book::{AppendError, AuditBookOptions, Log, OpenEntries};
use crate::listener::plain_text;
use crate::log_store::OpenedRequest;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::collections::HashSet;
use std::io;
use tokio::sync::Notify;
use tollgate_runtime::Entry;

struct MemoryLog(u64);

impl Log for MemoryLog {
    fn append<'a>(&'a mut self, entries: &'a [Entry]) -> BoxFuture<'a, Result<u64, AppendError>> {
        let first = self.0;
        self.0 += entries.len() as u64;
        Box::pin(std::future::ready(Ok(first)))
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<u64, AppendError>> {
        Box::pin(std::future::ready(Ok(self.0)))
    }

    fn size(&self) -> u64 {
        self.0
    }
}

struct NoNotes;

impl OpenEntries for NoNotes {
    fn open(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn close(&self, _: &[&str], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn recover(&self) -> Vec<OpenedRequest> {
        Vec::new()
    }
}

/// Answers when it is let.
#[derive(Default)]
struct Held {
    began: Notify,
    go: Notify,
}

impl Handler for Arc<Held> {
    fn handle(&self, _: Request<RequestBody>, _: Peer) -> BoxFuture<'static, Response<AnswerBody>> {
        let held = Arc::clone(self);
        Box::pin(async move {
            held.began.notify_one();
            held.go.notified().await;
            plain_text(StatusCode::OK, "done\n")
        })
    }
}

async fn get(address: SocketAddr, path: &str) -> Option<(StatusCode, String)> {
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http::<Empty<Bytes>>();
    let response = client.get(format!("http://{address}{path}").parse().unwrap()).await.ok()?;
    let status = response.status();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    Some((status, String::from_utf8(body.to_vec()).unwrap()))
}

#[tokio::test]
async fn a_server_answers_shows_its_figures_and_stops_without_losing_a_request() {
    let held = Arc::new(Held::default());
    let recorded = |_: u64, _: &HashSet<String>| Ok(HashSet::new());
    let options = AuditBookOptions::default();
    let book =
        AuditBook::start(MemoryLog(0), Arc::new(NoNotes), Arc::new(recorded), Arc::new(|_| {}), options);
    let book = book.await.unwrap();
    let parts = ServerParts {
        handler: Arc::new(Arc::clone(&held)),
        book: Some(Arc::clone(&book)),
        metrics: Arc::new(Metrics::new()),
        checks: Vec::new(),
        status: Box::new(|| json!({ "tenants": {} })),
    };
    let options = ServerOptions { admin: Some(ListenerOptions::default()), ..ServerOptions::default() };
    let running = Arc::new(Server::start(options, parts).unwrap());
    let [address] = running.addresses()[..] else { panic!("not one address") };
    let admin = running.admin_address().unwrap();
    let request = tokio::spawn(get(address, "/"));
    held.began.notified().await;

    let (status, ready) = get(admin, "/ready").await.unwrap();
    assert_eq!(status, StatusCode::OK, "{ready}");
    assert!(ready.contains("\"audit-log\": \"ok\""), "{ready}");
    let (_, metrics) = get(admin, "/metrics").await.unwrap();
    assert!(metrics.contains("tollgate_connections 1\n"), "{metrics}");

    let stopping = Arc::clone(&running);
    let drained = tokio::spawn(async move { stopping.drain().await });
    while get(address, "/").await.is_some() {}
    let (status, ready) = get(admin, "/ready").await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{ready}");
    assert!(book.ready().is_ok(), "records are taken until the last request is over");
    held.go.notify_one();
    assert_eq!(request.await.unwrap(), Some((StatusCode::OK, "done\n".to_owned())));
    assert!(drained.await.unwrap());
    assert!(running.done().await);
    assert!(book.ready().is_err());
    assert_eq!(get(admin, "/live").await, None);
}
