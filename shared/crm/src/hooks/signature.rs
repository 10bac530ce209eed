//! Signs the body of a delivery, so that whoever receives it knows that it comes from us and when. Knows nothing of HTTP and reads no clock.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The header that carries it.
pub(super) const HEADER: &str = "x-tidemark-signature";

/// `t=<unix seconds>,v1=<hex of the HMAC-SHA-256 of "t.body">`.
pub(super) fn signature(secret: &SecretString, unix_secs: u64, body: &[u8]) -> String {
    // HMAC takes a key of any length: nothing can be refused.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("any length");
    mac.update(unix_secs.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={unix_secs},v1={digest}")
}

#[cfg(test)]
mod tests {
    use super::signature;

    /// printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac practice
    #[test]
    fn a_signature_is_what_openssl_makes_of_the_time_and_the_body() {
        let expect = "550dad7cd4e523f1ec6c39327d1315d8c065b40761861db720aa729586416f26";
        assert_eq!(signature(&"practice".into(), 1_700_000_000, br#"{"a":1}"#), format!("t=1700000000,v1={expect}"));
    }
}
