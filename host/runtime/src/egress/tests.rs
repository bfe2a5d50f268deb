use super::*;
use proptest::prelude::*;

fn egress(allow: &[&str], networks: &[&str]) -> Egress {
    Egress {
        allow: allow.iter().map(|text| OriginPattern::parse(text).unwrap()).collect(),
        networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

fn origin(uri: &str) -> Result<Origin, EgressError> {
    Origin::of(&uri.parse().unwrap())
}

#[test]
fn scheme_host_and_port_must_all_match() {
    let egress = egress(&["https://api.example.com", "http://*.svc.example:8080"], &[]);
    for (uri, allowed) in [
        ("https://api.example.com/x", true),
        ("https://API.Example.com./x", true),
        ("https://api.example.com:443/", true),
        ("http://api.example.com/", false),
        ("https://api.example.com:444/", false),
        ("https://evil-api.example.com/", false),
        ("http://a.svc.example:8080/", true),
        ("http://a.b.svc.example:8080/", true),
        ("http://svc.example:8080/", false),
        ("http://asvc.example:8080/", false),
    ] {
        assert_eq!(egress.allows(&origin(uri).unwrap()), allowed, "{uri}");
    }
}

#[test]
fn an_address_in_an_odd_spelling_is_refused_before_anything_resolves_it() {
    for host in ["0177.0.0.1", "2130706433", "0x7f.0.0.1", "127.1", "127.0.0.1.", "0x7f000001", "127.0.0.01"]
    {
        let uri = format!("http://{host}/");
        let refused = uri.parse::<http::Uri>().ok().is_none_or(|uri| match Origin::of(&uri) {
            Err(_) => true,
            Ok(origin) => origin.host == "127.0.0.1",
        });
        assert!(refused, "{host}");
    }
    for uri in ["http://user@example.com/", "http://example.com:0/", "ftp://example.com/"] {
        assert!(origin(uri).is_err(), "{uri}");
    }
}

#[test]
fn only_public_addresses_may_be_connected_to() {
    let none = egress(&[], &[]);
    for private in [
        "0.0.0.0",
        "10.1.2.3",
        "127.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
        "fd00:ec2::254",
    ] {
        assert!(!none.address(private.parse().unwrap()), "{private}");
    }
    for public in ["1.1.1.1", "9.9.9.9", "2606:4700::1111", "::ffff:1.1.1.1"] {
        assert!(none.address(public.parse().unwrap()), "{public}");
    }
}

#[test]
fn a_granted_network_opens_itself_and_no_other() {
    let egress = egress(&[], &["127.0.0.0/8"]);
    assert!(egress.address("127.0.0.1".parse().unwrap()));
    assert!(egress.address("::ffff:127.0.0.1".parse().unwrap()));
    assert!(!egress.address("10.0.0.1".parse().unwrap()));
}

proptest! {
    #[test]
    fn no_text_breaks_the_pattern_parser(text in ".{0,200}") {
        let _ = OriginPattern::parse(&text);
    }

    #[test]
    fn a_wrapped_address_is_judged_as_what_it_wraps(octets in any::<[u8; 4]>()) {
        let v4 = Ipv4Addr::from(octets);
        let none = Egress::default();
        prop_assert_eq!(none.address(IpAddr::V4(v4)), none.address(IpAddr::V6(v4.to_ipv6_mapped())));
    }
}
