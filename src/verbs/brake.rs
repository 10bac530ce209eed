//! `resume --act`: a person's answer to a brake, which lets through what waits behind it.

use std::process::ExitCode;

use eyre::bail;
use tidemark_core::brake::{Act, Direction};
use tidemark_store::{acts, brakes, streams};

use crate::compose::{House, names};
use crate::verbs::{say, who};

pub(crate) async fn let_through(house: &House, subject: &str, act: &str, only: Option<&str>) -> eyre::Result<ExitCode> {
    let Some(stream) = streams::find(&house.store, subject).await? else {
        bail!("there is no stream {subject}: the configuration has {}", names(&house.config.streams));
    };
    let Some(act) = Act::from_word(act) else { bail!("there is no brake on {act}") };
    let mut answered = false;
    for direction in Direction::ALL.into_iter().filter(|direction| only.is_none_or(|word| word == direction.word())) {
        let Some(held) = brakes::release(&house.store, stream.id, direction, act).await? else { continue };
        answered = true;
        let what = format!("{} to be {}", direction.count(held), act.done());
        acts::record(&house.store, &who(), "let through", &format!("stream {subject}: {what}"), None).await?;
        say(format_args!("{subject}: let through {what}. The day's count begins anew."));
    }
    if !answered {
        say(format_args!("Nothing waits behind the brake on {} of {subject}, and it is not on.", act.word()));
    }
    Ok(ExitCode::SUCCESS)
}
