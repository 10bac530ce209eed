//! Seals what is kept of credentials, and opens it again: ChaCha20-Poly1305 under the configured key, bound to the connection. Keeps nothing, and knows no token from another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::{Digest, Sha256};

/// First of a sealed text: how it is made.
const FORM: &str = "1";

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Seals with the present key, opens with that and the one before.
#[derive(Debug)]
pub struct Sealer {
    present: Key,
    former: Option<Key>,
}

struct Key {
    /// By which a sealed text names its key.
    name: String,
    cipher: LessSafeKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What was opened.
#[derive(Debug)]
pub struct Opened {
    pub text: SecretString,
    /// By the key of before: it is to be sealed anew.
    pub former: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("a key has {KEY_BYTES} bytes")]
    KeyLength,
    #[error("this machine gives no random bytes")]
    NoRandom,
    #[error(
        "the token of {connection} was sealed with key {sealed}, and credentials.key is key {present}: put the former key back, or name it credentials.former_key; where it is lost, authorise anew and \
         change the secret of {connection}"
    )]
    OtherKey { connection: String, sealed: String, present: String },
    #[error("what is kept of the token of {connection} was altered: authorise anew and change the secret of {connection}")]
    Altered { connection: String },
}

impl Key {
    fn new(bytes: &SecretSlice<u8>) -> Result<Self, SealError> {
        let bytes = bytes.expose_secret();
        let cipher = UnboundKey::new(&CHACHA20_POLY1305, bytes).map_err(|_| SealError::KeyLength)?;
        let digest = Sha256::new().chain_update(b"tidemark credentials key").chain_update(bytes).finalize();
        let name = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name, cipher: LessSafeKey::new(cipher) })
    }
}

impl Sealer {
    pub fn new(key: &SecretSlice<u8>, former: Option<&SecretSlice<u8>>) -> Result<Self, SealError> {
        Ok(Self { present: Key::new(key)?, former: former.map(Key::new).transpose()? })
    }

    pub fn seal(&self, connection: &str, text: &SecretString) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::NoRandom)?;
        let mut bytes = text.expose_secret().as_bytes().to_vec();
        let (aad, key) = (Aad::from(connection.as_bytes()), &self.present);
        // Fails only for texts of many gigabytes.
        let sealed = key.cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes);
        sealed.map_err(|_| SealError::Altered { connection: connection.to_owned() })?;
        Ok(format!("{FORM}.{}.{}", key.name, URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat())))
    }

    pub fn open(&self, connection: &str, sealed: &str) -> Result<Opened, SealError> {
        let altered = || SealError::Altered { connection: connection.to_owned() };
        let mut parts = sealed.splitn(3, '.');
        let (Some(FORM), Some(name), Some(body)) = (parts.next(), parts.next(), parts.next()) else { return Err(altered()) };
        let known = [Some(&self.present), self.former.as_ref()].into_iter().flatten().find(|key| key.name == name);
        let Some(key) = known else {
            let (sealed, present) = (name.to_owned(), self.present.name.clone());
            return Err(SealError::OtherKey { connection: connection.to_owned(), sealed, present });
        };
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| altered())?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN).ok_or_else(altered)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| altered())?;
        let mut text = text.to_vec();
        let opened = key.cipher.open_in_place(nonce, Aad::from(connection.as_bytes()), &mut text).map_err(|_| altered())?;
        let text = std::str::from_utf8(opened).map_err(|_| altered())?;
        Ok(Opened { text: SecretString::from(text), former: key.name != self.present.name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretSlice<u8> {
        SecretSlice::from(vec![byte; KEY_BYTES])
    }

    fn sealer(byte: u8, former: Option<u8>) -> Sealer {
        Sealer::new(&key(byte), former.map(key).as_ref()).unwrap()
    }

    #[test]
    fn what_is_sealed_says_nothing_and_comes_back_as_it_was() {
        let (sealer, text) = (sealer(1, None), SecretString::from("1000.token"));
        let (one, two) = (sealer.seal("zoho", &text).unwrap(), sealer.seal("zoho", &text).unwrap());
        assert!(one != two && !one.contains("1000"), "{one}");
        let opened = sealer.open("zoho", &one).unwrap();
        assert!(opened.text.expose_secret() == "1000.token" && !opened.former);
    }

    #[test]
    fn a_text_that_was_altered_or_put_in_anothers_place_is_not_opened() {
        let sealer = sealer(1, None);
        let sealed = sealer.seal("zoho", &SecretString::from("1000.token")).unwrap();
        assert!(matches!(sealer.open("other", &sealed), Err(SealError::Altered { .. })));
        let cut = &sealed[..sealed.len() - 2];
        let last = if sealed.ends_with('A') { 'B' } else { 'A' };
        for wrong in ["", "1", "1..", cut, &format!("{}{last}x", &sealed[..sealed.len() - 2]), &sealed.replacen("1.", "2.", 1)] {
            assert!(sealer.open("zoho", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_key_is_named_with_what_to_do_and_a_former_one_opens() {
        let sealed = sealer(1, None).seal("zoho", &SecretString::from("t")).unwrap();
        let told = sealer(2, None).open("zoho", &sealed).unwrap_err().to_string();
        assert!(
            told.contains("was sealed with key") && told.contains("credentials.former_key") && !told.contains('\n'),
            "{told}"
        );
        assert!(sealer(2, Some(1)).open("zoho", &sealed).unwrap().former);
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        assert!(matches!(Sealer::new(&SecretSlice::from(vec![1; 31]), None), Err(SealError::KeyLength)));
    }
}
