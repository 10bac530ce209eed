//! The laws of who may ask.

use super::*;

fn key() -> Key {
    Key::new(&SecretString::from("s3cret"))
}

fn ask(peer: &str, method: &Method, path: &str, headers: &[(&'static str, &str)], key: Option<&Key>) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    decide(&Ask { peer: peer.parse().unwrap(), method, path, headers: &map }, key)
}

fn is_refused(answer: Answer) -> bool {
    matches!(answer, Answer::Refuse(_))
}

#[test]
fn without_a_token_only_this_machine_is_served() {
    for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(ask(peer, &Method::GET, "/", &[("host", "localhost:8624")], None), Answer::Serve, "{peer}");
    }
    for peer in ["10.0.0.7", "::ffff:10.0.0.7", "fe80::1"] {
        assert!(is_refused(ask(peer, &Method::GET, "/", &[("host", "localhost:8624")], None)), "{peer}");
    }
}

#[test]
fn without_a_token_a_foreign_name_for_this_machine_is_refused() {
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8624", "127.9.9.9", "[::1]:8624", "[::1]"] {
        assert_eq!(ask("127.0.0.1", &Method::GET, "/metrics", &[("host", host)], None), Answer::Serve, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:8624", "127.0.0.1.evil.example", "10.0.0.1", ""] {
        assert!(is_refused(ask("127.0.0.1", &Method::GET, "/metrics", &[("host", host)], None)), "{host}");
    }
    assert!(is_refused(ask("127.0.0.1", &Method::GET, "/", &[], None)));
}

#[test]
fn with_a_token_every_peer_has_to_show_it_and_only_it() {
    let key = key();
    let session = format!("other=1; {COOKIE}={}", key.session());
    for header in [("authorization", "Bearer s3cret"), ("authorization", "bearer  s3cret"), ("cookie", session.as_str())] {
        assert_eq!(ask("10.0.0.7", &Method::GET, "/api/status", &[header], Some(&key)), Answer::Serve, "{header:?}");
    }
    let near = format!("{COOKIE}=s3cret");
    for header in [
        ("authorization", "Bearer s3cre"),
        ("authorization", "Basic s3cret"),
        ("authorization", "s3cret"),
        ("cookie", near.as_str()),
    ] {
        assert_eq!(ask("127.0.0.1", &Method::GET, "/api/status", &[header], Some(&key)), Answer::Unknown, "{header:?}");
    }
    assert_eq!(ask("127.0.0.1", &Method::GET, "/metrics", &[("host", "localhost")], Some(&key)), Answer::Unknown);
}

#[test]
fn health_is_told_to_everybody() {
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask("10.0.0.7", &Method::GET, path, &[], None), Answer::Serve);
        assert_eq!(ask("10.0.0.7", &Method::GET, path, &[], Some(&key())), Answer::Serve);
    }
}

#[test]
fn an_act_from_another_sites_page_is_refused_even_with_the_token() {
    let key = key();
    let bearer = ("authorization", "Bearer s3cret");
    let host = ("host", "tidemark.shop:8624");
    for origin in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "http://tidemark.shop:9999"),
        ("origin", "null"),
    ] {
        assert!(
            is_refused(ask("10.0.0.7", &Method::POST, "/acts/streams/a/pause", &[host, bearer, origin], Some(&key))),
            "{origin:?}"
        );
        assert!(is_refused(ask("10.0.0.7", &Method::POST, "/login", &[host, origin], Some(&key))), "{origin:?}");
    }
    for origin in [("sec-fetch-site", "same-origin"), ("origin", "http://tidemark.shop:8624"), ("accept", "*/*")] {
        assert_eq!(
            ask("10.0.0.7", &Method::POST, "/acts/streams/a/pause", &[host, bearer, origin], Some(&key)),
            Answer::Serve,
            "{origin:?}"
        );
    }
}

#[test]
fn a_key_opens_with_itself_alone() {
    let key = Key::new(&SecretString::from("open sesame"));
    assert!(key.opens("open sesame"));
    for wrong in ["open sesamE", "", "open sesame "] {
        assert!(!key.opens(wrong), "{wrong}");
    }
}
