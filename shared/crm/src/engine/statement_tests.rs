//! A statement against the example of RFC 7515, appendix A.2, and what no key may be.

use serde_json::json;

use super::*;
use crate::engine::hole::Constants;

/// The RFC's own example: its numbers, its claims and the signature that has to come out.
const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const D: &str = "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ";
const P: &str = "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc";
const Q: &str = "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc";
const DP: &str = "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0";
const DQ: &str = "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU";
const QI: &str = "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U";
const CLAIMS: &str = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
const SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

/// One element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = match length {
        0..128 => vec![tag, u8::try_from(length).unwrap()],
        128..256 => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => vec![tag, 0x82, u8::try_from(length >> 8).unwrap(), u8::try_from(length & 0xff).unwrap()],
    };
    out.extend_from_slice(content);
    out
}

fn integer(digits: &str) -> Vec<u8> {
    let mut bytes = URL_SAFE_NO_PAD.decode(digits).unwrap();
    if bytes[0] & 0x80 != 0 {
        bytes.insert(0, 0);
    }
    element(2, &bytes)
}

/// The example as OpenSSL writes it, in lines of 64.
fn pem(parted_by: &str) -> SecretString {
    let numbers = ["AA", N, "AQAB", D, P, Q, DP, DQ, QI].map(integer).concat();
    let text = STANDARD.encode(element(0x30, &numbers));
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let label = ["RSA", "PRIVATE", "KEY"].join(" ");
    SecretString::from(
        [&format!("-----BEGIN {label}-----"), &lines.join(parted_by), &format!("-----END {label}-----")]
            .map(String::as_str)
            .join(parted_by),
    )
}

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
