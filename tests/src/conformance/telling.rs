//! Cases about what is told of a call: nothing of the credentials and nothing of anybody.

use eyre::{OptionExt, ensure};
use tidemark_core::record::RemoteId;
use tidemark_crm::{Answer, WriteKind, recorded};

use super::{Bench, Verdict};
use crate::rig::TOKEN;

const EMAIL: &str = "qvortex@glimmerkraft.test";
const NAME: &str = "Zylinda Wupperfeld";
const PHONE: &str = "+4930777123";
/// Of what is planted, so many letters in a row must stand nowhere.
const PIECE: usize = 6;

fn check<T>(what: &str, answer: &Answer<T>) -> eyre::Result<()> {
    let tape = answer.callout.tape.as_ref().ok_or_eyre("nothing was recorded")?;
    let text = format!("{}\n{}", tape.request, tape.response.as_deref().unwrap_or_default()).to_lowercase();
    let told = answer.result.as_ref().err().map(|failure| failure.message.to_lowercase()).unwrap_or_default();
    for planted in [EMAIL, NAME, PHONE, TOKEN] {
        let planted = planted.to_lowercase();
        for piece in planted.as_bytes().windows(PIECE).filter_map(|piece| std::str::from_utf8(piece).ok()) {
            ensure!(!text.contains(piece), "{what}: {piece:?} of {planted} stands in\n{text}");
        }
    }
    ensure!(!told.contains(TOKEN), "{what}: {told}");
    // The digest of an address is as good as the address.
    let digest = |word: &str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = tape.request.split(|letter: char| !letter.is_ascii_alphanumeric());
    ensure!(!words.clone().any(digest), "{what}: an id or a digest stands in\n{}", tape.request);
    Ok(())
}

pub(super) async fn tape(bench: &Bench) -> eyre::Result<Verdict> {
    if let Some(need) = bench.crm.need(bench.vendor.object) {
        check("signing in", &recorded(bench.crm.meet(&need)).await)?;
    }
    bench.ready().await?;
    let item = bench.item(None, None, [Some(EMAIL), Some(NAME), Some(PHONE)]);
    let made = recorded(bench.crm.write(&bench.batch(WriteKind::Create, std::slice::from_ref(&item)))).await;
    check("creating", &made)?;
    let made = made.result?.into_iter().next().ok_or_eyre("no outcome")??;
    let ids: [RemoteId; 1] = [made.id.clone()];
    check("reading by id", &recorded(bench.crm.read_ids(&bench.ids(&ids))).await)?;
    check("looking up", &recorded(bench.crm.look_up(&bench.looking(&[EMAIL.to_owned()]))).await)?;
    check("reading a page", &recorded(bench.crm.read_page(&bench.asking((0, 4_102_444_800_000), 10, None))).await)?;
    let item = bench.item(Some(made.id.as_str()), None, [Some("no address qvortex"), None, None]);
    check("updating", &recorded(bench.crm.write(&bench.batch(WriteKind::Update, std::slice::from_ref(&item)))).await)?;
    bench.hand().set_token(Some("another".into()));
    check("being refused", &recorded(bench.crm.read_ids(&bench.ids(&ids))).await)?;
    Ok(Verdict::Holds)
}
