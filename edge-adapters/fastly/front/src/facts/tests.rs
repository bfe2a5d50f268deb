use super::*;
use crate::house::tests::{house, settings};
use http::Request;

const PEER: Peer =
    Peer { address: IpAddr::V6(std::net::Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped()), tls: true };

fn parts(request: http::request::Builder) -> Parts {
    request.body(()).unwrap().into_parts().0
}

#[test]
fn the_gate_is_told_of_a_request_in_one_spelling() {
    let house = house(&settings()).unwrap();
    let parts = parts(
        Request::post("https://ACME.test/a/../%62?q=1")
            .header("host", "acme.test")
            .header("authorization", "Bearer secret-alice")
            .header("x-plan", "gold")
            .header("x-other", "unseen")
            .header("content-length", "12"),
    );
    let arrival = Arrival::of(&parts, PEER, [[1; 16], [2; 16]], 99).unwrap();
    assert_eq!(arrival.uri, "https://acme.test/b?q=1");
    let entry = house.table.find(&arrival.host, &arrival.path, &parts.method).unwrap();
    let facts = arrival.facts(&parts, entry).unwrap();
    assert_eq!((facts.request_id.as_str(), facts.trace_id.as_str()), (&*"01".repeat(16), &*"02".repeat(16)));
    assert_eq!((facts.tenant.as_str(), facts.app.as_str(), facts.route.as_str()), ("acme", "web", "web"));
    assert_eq!(
        (facts.scheme.as_str(), facts.host.as_str(), facts.path.as_str()),
        ("https", "acme.test", "/b")
    );
    assert_eq!((facts.query.as_deref(), facts.client_address.as_str()), (Some("q=1"), "192.0.2.7"));
    assert_eq!((facts.body_length, facts.received_at), (Some(12), 99));
    assert_eq!(facts.headers, [("x-plan".to_owned(), "gold".to_owned())]);
    assert_eq!((facts.actor.id.as_str(), &facts.actor.groups[..]), ("alice", &["staff".to_owned()][..]));
}

#[test]
fn a_token_that_nobody_has_makes_the_caller_anonymous() {
    let house = house(&settings()).unwrap();
    let parts = parts(Request::get("http://a/").header("authorization", "Bearer secret-alicf"));
    let arrival = Arrival::of(&parts, PEER, [[0; 16]; 2], 0).unwrap();
    let entry = house.table.find("a", "/", &parts.method).unwrap();
    assert!(matches!(arrival.facts(&parts, entry).unwrap().actor.kind, ActorKind::Anonymous));
}

#[test]
fn a_host_that_could_be_another_is_unreadable() {
    let parts = parts(Request::get("http://a/").header("host", "b"));
    assert!(Arrival::of(&parts, PEER, [[0; 16]; 2], 0).is_err());
}
