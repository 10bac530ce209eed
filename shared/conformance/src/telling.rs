//! Cases about what is told of a call: nothing of the credentials and nothing of anybody.

use eyre::{OptionExt, WrapErr, ensure};
use tidemark_core::record::RemoteId;
use tidemark_core::sweep::EVERY_STAMP;
use tidemark_crm::{Answer, WriteKind, recorded};

use crate::bench::MAKING;
use crate::{Bench, Verdict};

const NAME: &str = "Zylinda Wupperfeld";
const PHONE: &str = "+4930777123";
/// Of what is planted, so many letters in a row must stand nowhere.
const PIECE: usize = 6;

struct Planted {
    texts: Vec<String>,
    secrets: Vec<String>,
}

impl Planted {
    fn check<T>(&self, what: &str, answer: &Answer<T>) -> eyre::Result<()> {
        let tape = answer.callout.tape.as_ref().ok_or_eyre("nothing was recorded")?;
        let text = format!("{}\n{}", tape.request, tape.response.as_deref().unwrap_or_default()).to_lowercase();
        let told = answer.result.as_ref().err().map(|failure| failure.message.to_lowercase()).unwrap_or_default();
        for planted in self.texts.iter().map(|text| text.to_lowercase()) {
            let piece = pieces(&planted).find(|piece| text.contains(piece));
            ensure!(piece.is_none(), "{what}: {:?} of what was sent stands in\n{text}", piece.unwrap_or_default());
        }
        for secret in self.secrets.iter().map(|secret| secret.to_lowercase()) {
            let piece = pieces(&secret).find(|piece| leaks(&text, &secret, piece));
            ensure!(piece.is_none(), "{what}: {:?} of a secret stands in\n{text}", piece.unwrap_or_default());
            ensure!(!leaks(&told, &secret, &secret), "{what}: a secret is told");
        }
        // The digest of an address is as good as the address.
        let digest = |word: &str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let words = tape.request.split(|letter: char| !letter.is_ascii_alphanumeric());
        ensure!(!words.clone().any(digest), "{what}: an id or a digest stands in\n{}", tape.request);
        Ok(())
    }
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.as_bytes().windows(PIECE).filter_map(|piece| std::str::from_utf8(piece).ok())
}

/// The piece stands there, and not only inside a word that the secret is made of: marks and the names of fields are made of words, too, and a secret may hold `secret`.
fn leaks(text: &str, secret: &str, piece: &str) -> bool {
    let is_own_word = |word: &str| secret.split(|letter: char| !letter.is_alphabetic()).any(|own| own == word);
    text.match_indices(piece).any(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + piece.len()..]);
        let start = before.trim_end_matches(char::is_alphabetic).len();
        let end = text.len() - behind.trim_start_matches(char::is_alphabetic).len();
        !is_own_word(&text[start..end])
    })
}

pub(crate) async fn tape(bench: &Bench) -> eyre::Result<Verdict> {
    // Not by the whole mark: its first word may be part of a property's name.
    let tail = bench.mark().rsplit('-').next().unwrap_or_default();
    let email = format!("qvortex{tail}@{}", bench.subject.domain);
    let local = email.split('@').next().unwrap_or_default().to_owned();
    let secrets = bench.subject.secrets.iter().filter(|secret| secret.len() >= PIECE).cloned().collect();
    let planted = Planted { texts: vec![local, NAME.to_owned(), PHONE.to_owned()], secrets };
    if let Some(need) = bench.crm.need(&bench.subject.object) {
        planted.check("signing in", &recorded(bench.crm.meet(&need)).await)?;
    }
    bench.ready().await?;
    let wanted = bench.wanted();
    let item = bench.item(None, None, [Some(&email), Some(NAME), Some(PHONE)]);
    let made = recorded(bench.crm.write(&bench.batch(WriteKind::Create, std::slice::from_ref(&item)))).await;
    planted.check("creating", &made)?;
    let made = made.result.wrap_err(MAKING)?.into_iter().next().ok_or_eyre("no outcome")??;
    bench.remember(made.id.clone());
    let ids: [RemoteId; 1] = [made.id.clone()];
    planted.check("reading by id", &recorded(bench.crm.read_ids(&bench.ids(&wanted, &ids))).await)?;
    planted.check("looking up", &recorded(bench.crm.look_up(&bench.looking(&wanted, &[email]))).await)?;
    let page = bench.asking(&wanted, (EVERY_STAMP.from, EVERY_STAMP.until), 10, None);
    planted.check("reading a page", &recorded(bench.crm.read_page(&page)).await)?;
    let item = bench.item(Some(&made.id), None, [Some(&format!("no address qvortex{tail}")), None, None]);
    planted.check("updating", &recorded(bench.crm.write(&bench.batch(WriteKind::Update, std::slice::from_ref(&item)))).await)?;
    let Some(practice) = bench.practice() else { return Ok(Verdict::Holds) };
    let good = practice.token(Some("another")).await?;
    let refused = recorded(bench.crm.read_ids(&bench.ids(&wanted, &ids))).await;
    practice.token(good.as_deref()).await?;
    planted.check("being refused", &refused)?;
    Ok(Verdict::Holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, secret: &str) -> bool {
        pieces(secret).any(|piece| leaks(text, secret, piece))
    }

    #[test]
    fn a_word_of_the_secret_is_no_leak_where_it_is_a_mark_or_a_name() {
        for text in ["authorization: ‹secret›", "client_secret=‹secret›&x=1", "the [secret] is wrong", "\"secret\": ‹secret›"]
        {
            for secret in ["secret", "my-secret-token", "secret1"] {
                assert!(!found(text, secret), "{secret} in {text}");
            }
        }
    }

    #[test]
    fn a_piece_of_the_secret_is_a_leak_wherever_it_stands() {
        let cases = [
            ("x-key: my-secret-token", "my-secret-token"),
            ("/people?key=secret-to", "my-secret-token"),
            ("mysecretkey", "secret"),
            ("{\"message\": \"no pat-na1 known\"}", "pat-na1-11111111"),
            ("secret1", "secret1"),
        ];
        for (text, secret) in cases {
            assert!(found(text, secret), "{secret} in {text}");
        }
    }
}
