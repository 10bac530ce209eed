//! A statement against the example of RFC 7515, appendix A.2, and what no key may be.

#[path = "../../tests/server/rfc_key.rs"]
mod rfc_key;

use serde_json::json;

use super::*;
use crate::engine::hole::Constants;
use rfc_key::pem;

/// The RFC's own claims, and the signature that has to come out.
const CLAIMS: &str = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
const SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

#[test]
fn a_statement_is_signed_as_the_standard_says() {
    for parted_by in ["\n", "\r\n", "\\n"] {
        let key = key_of(&pem(parted_by)).unwrap();
        let signed = sign(r#"{"alg":"RS256"}"#, CLAIMS, &key).unwrap();
        let parts: Vec<&str> = signed.split('.').collect();
        assert_eq!((parts[0], parts[2]), ("eyJhbGciOiJSUzI1NiJ9", SIGNATURE));
    }
}

#[test]
fn a_statement_says_who_asks_and_for_how_long() {
    let findings = Findings::default();
    let text =
        "claims = { iss = \"{secret.client_id}\", sub = \"{config.user}\", aud = \"https://login.test\" }\nclaims_secs = 60";
    let node = super::super::node::parse(text, &findings).unwrap();
    let (settings, secrets) = (["user".to_owned()], ["client_id".to_owned(), KEY.to_owned()]);
    let scope = Scope { plain: &[], object: false, settings: &settings, secrets: &secrets, signed_in: &[] };
    let statement = Statement::read(&mut Fields::of(&node, &findings), &scope, &findings).unwrap();
    let constants = Constants {
        settings: [("user".to_owned(), "ana@x.test".to_owned())].into(),
        secrets: [("client_id".to_owned(), SecretString::from("id"))].into(),
        ..Constants::default()
    };
    let values = Values { constants: Some(&constants), ..Values::default() };
    let signed = statement.signed(&values, &key_of(&pem("\n")).unwrap(), 1_000).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).unwrap()).unwrap();
    let claims: Json = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims, json!({ "iss": "id", "sub": "ana@x.test", "aud": "https://login.test", "iat": 1_000, "exp": 1_060 }));
}

#[test]
fn what_is_no_key_is_told_without_its_text() {
    let check = |text: &str, expect: &str| {
        let told = key_of(&SecretString::from(text)).err().unwrap();
        assert!(told.contains(expect) && !told.contains("c2VjcmV0"), "{told}");
    };
    check("c2VjcmV0", "is no private key as PEM");
    let label = ["PRIVATE", "KEY"].join(" ");
    check(&format!("-----BEGIN {label}-----\nc2VjcmV0\n-----END {label}-----"), "is no private RSA key of 2048 bits");
    check(&format!("-----BEGIN {label}-----\nc2VjcmV0"), "is no private key as PEM");
}
