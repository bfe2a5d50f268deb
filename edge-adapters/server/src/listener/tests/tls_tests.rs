use super::*;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate for `localhost` in files, and a client that trusts it.
fn certificate(alpn: &[&[u8]]) -> (tempfile::TempDir, TlsFiles, TlsConnector) {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles { chain: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
    let connector = write_certificate(&files, alpn);
    (folder, files, connector)
}

/// Writes a new certificate for `localhost` to these files; returns a client that trusts it and no other.
fn write_certificate(files: &TlsFiles, alpn: &[&[u8]]) -> TlsConnector {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&files.chain, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn shake(listener: &Listener, connector: &TlsConnector) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, connect(listener).await).await.unwrap()
}

#[tokio::test]
async fn both_protocols_are_spoken_over_tls_as_negotiated() {
    let (_folder, files, one) = certificate(&[b"http/1.1"]);
    let options = ListenerOptions { tls: Some(files.clone()), ..Default::default() };
    let listener = start(options, |request, peer| async move {
        plain_text(StatusCode::OK, format!("{:?} tls={}", request.version(), peer.tls))
    });
    let mut stream = shake(&listener, &one).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("HTTP/1.1 tls=true"), "{answer}");

    let mut config = (**one.config()).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let two = TlsConnector::from(Arc::new(config));
    let stream = TokioIo::new(shake(&listener, &two).await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/").body(Empty::<Bytes>::new()).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "HTTP/2.0 tls=true");
}

#[tokio::test]
async fn a_handshake_that_stalls_is_cut_off_and_stops_nobody_else() {
    let (_folder, files, connector) = certificate(&[]);
    let options =
        ListenerOptions { tls: Some(files), handshake: Duration::from_millis(500), ..Default::default() };
    let listener = hello(options);
    let mut slow = connect(&listener).await;
    slow.write_all(&[22, 3, 1]).await.unwrap();
    let mut quick = shake(&listener, &connector).await;
    quick.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    quick.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(listener.status().handshakes_failed, 0, "the slow one is still at it");
    let end = slow.read(&mut [0; 16]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    assert_eq!(listener.status().handshakes_failed, 1);
}

#[tokio::test]
async fn a_body_cut_over_tls_has_no_end_of_stream() {
    let (_folder, files, connector) = certificate(&[]);
    let listener = start(ListenerOptions { tls: Some(files), ..Default::default() }, |_, _| async {
        let (feed, body) = fed();
        feed.send(Ok("half")).unwrap();
        feed.send(Err("cut".into())).unwrap();
        Response::new(body)
    });
    let mut stream = shake(&listener, &connector).await;
    stream.write_all(b"GET / HTTP/1.0\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(stream.read_to_end(&mut Vec::new()).await.is_err());
}

#[tokio::test]
async fn a_missing_or_unfitting_certificate_is_named() {
    let (_folder, files, _) = certificate(&[]);
    let (_other, others, _) = certificate(&[]);
    let no_key = TlsFiles { key: files.chain.clone(), ..files.clone() };
    let gone = TlsFiles { chain: files.chain.with_file_name("gone.pem"), ..files.clone() };
    let unfitting = TlsFiles { key: others.key, ..files };
    for (files, text) in
        [(no_key, "private key"), (gone, "gone.pem"), (unfitting, "can't use the certificate")]
    {
        let options = ListenerOptions { tls: Some(files), ..Default::default() };
        let refused =
            Listener::start(options, Arc::new(Answering(|_, _| std::future::pending()))).err().unwrap();
        assert!(refused.to_string().contains(text), "{refused}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_from_then_on_and_one_that_is_not_fit_changes_nothing() {
    let (_folder, files, old) = certificate(&[]);
    let listener = hello(ListenerOptions { tls: Some(files.clone()), ..Default::default() });
    let shown = listener.certificate().unwrap();
    let mut before = shake(&listener, &old).await;

    let new = write_certificate(&files, &[]);
    let renewal = shown.read().unwrap();
    drop(shake(&listener, &old).await);
    shown.renew(renewal);
    drop(shake(&listener, &new).await);
    let name = ServerName::try_from("localhost").unwrap();
    assert!(old.connect(name, connect(&listener).await).await.is_err(), "the old one is shown no more");
    before.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    before.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "a connection that there was goes on: {answer}");

    std::fs::write(&files.chain, "no certificate").unwrap();
    assert!(shown.read().is_err());
    drop(shake(&listener, &new).await);
}
