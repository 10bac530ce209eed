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
        for planted in self.texts.iter().chain(&self.secrets) {
            let planted = planted.to_lowercase();
            for piece in planted.as_bytes().windows(PIECE).filter_map(|piece| std::str::from_utf8(piece).ok()) {
                ensure!(!text.contains(piece), "{what}: {piece:?} of what was sent stands in\n{text}");
            }
        }
        ensure!(!self.secrets.iter().any(|secret| told.contains(&secret.to_lowercase())), "{what}: a secret is told");
        // The digest of an address is as good as the address.
        let digest = |word: &str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let words = tape.request.split(|letter: char| !letter.is_ascii_alphanumeric());
        ensure!(!words.clone().any(digest), "{what}: an id or a digest stands in\n{}", tape.request);
        Ok(())
    }
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
