//! The key by which tokens are sealed where they are kept: read and proved to be one. Seals nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretSlice};

use crate::secrets::Vault;
use crate::section::Section;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Where tokens are kept for all processes.
#[derive(Debug, Clone)]
pub struct CredentialsConfig {
    /// `None`: nothing is kept, and each process signs in by itself.
    pub key: Option<SecretSlice<u8>>,
    /// Opens what was sealed before the key was changed.
    pub former_key: Option<SecretSlice<u8>>,
}

impl CredentialsConfig {
    pub(crate) fn read(section: Option<Section<'_>>, vault: &Vault<'_>) -> Option<Self> {
        let mut section = section?;
        let findings = section.findings;
        let mut read = |name| {
            let node = section.take(name)?;
            let at = node.at.clone();
            let secret = vault.secret(node, findings)?;
            let bytes = STANDARD.decode(secret.expose_secret()).ok().filter(|bytes| bytes.len() == KEY_BYTES);
            if bytes.is_none() {
                findings.add(&at, "This is no key: 32 bytes in base64 are one.", "Make one with: openssl rand -base64 32");
            }
            Some((SecretSlice::from(bytes?), at))
        };
        let (key, former) = (read("key"), read("former_key"));
        section.close();
        if let (None, Some((_, at))) = (&key, &former) {
            findings.add(at, "A former key without a key seals nothing.", "Write key as well, or take this out.");
        }
        let bytes = |read: Option<(SecretSlice<u8>, _)>| read.map(|(bytes, _)| bytes);
        Some(Self { key: bytes(key), former_key: bytes(former) })
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use crate::sample;

    const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn text(credentials: &str) -> String {
        format!("{}\n[credentials]\n{credentials}\n", sample::minimal())
    }

    #[test]
    fn a_key_is_32_bytes_in_base64_from_the_environment() {
        let config = sample::load(&text("key = { env = \"TIDEMARK_KEY\" }"), &[("TIDEMARK_KEY", KEY)]).unwrap();
        assert_eq!(config.credentials.key.unwrap().expose_secret(), [1; 32]);
        assert!(sample::load(&sample::minimal(), &[]).unwrap().credentials.key.is_none());
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_repeated() {
        for wrong in ["c2hvcnQ=", "not base64 at all", KEY.trim_end_matches("E=")] {
            let told =
                sample::load(&text("key = { env = \"TIDEMARK_KEY\" }"), &[("TIDEMARK_KEY", wrong)]).unwrap_err().to_string();
            assert!(
                told.contains("credentials.key") && told.contains("openssl rand -base64 32") && !told.contains(wrong),
                "{told}"
            );
        }
        let told = sample::load(&text(&format!("key = \"{KEY}\"")), &[]).unwrap_err().to_string();
        assert!(told.contains("TIDEMARK_KEY") && !told.contains(KEY), "{told}");
        let told =
            sample::load(&text("former_key = { env = \"TIDEMARK_KEY\" }"), &[("TIDEMARK_KEY", KEY)]).unwrap_err().to_string();
        assert!(told.contains("credentials.former_key"), "{told}");
    }
}
