//! `sandbox`: the practice CRM, or the practice receiver, until told to stop.

use std::process::ExitCode;

use eyre::{WrapErr, bail};
use tidemark_boot::shutdown;
use tidemark_sandbox::hooks::{Heard, HookConfig, HookSandbox, Signature};
use tidemark_sandbox::{Dialect, Sandbox, SandboxConfig, Weather};

use crate::cli::{HOOKS, SandboxArgs};
use crate::verbs::say;

/// The catch hook that it has.
const CATCH: &str = "/hooks/catch/1/practice/";

pub(crate) async fn run(args: SandboxArgs) -> eyre::Result<ExitCode> {
    if args.dialect == HOOKS {
        return receive(args).await;
    }
    let weather = if args.weather == "rough" { Weather::rough() } else { Weather::calm() };
    let dialect = Dialect::parse(&args.dialect).ok_or_else(|| eyre::eyre!("there is no dialect {}", args.dialect))?;
    let SandboxArgs { listen, token, seed, .. } = args;
    let config = SandboxConfig { dialect, listen, token, weather, seed, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await?;
    sandbox.crm().populate(args.records)?;
    say(format_args!("practice CRM  {0}\npage          {0}/sandbox/\ndialect       {dialect}", sandbox.base_url()));
    shutdown::on_signal().cancelled().await;
    sandbox.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Takes deliveries, each as a line of what was told and how it was answered.
async fn receive(args: SandboxArgs) -> eyre::Result<ExitCode> {
    if args.records > 0 || args.weather != "calm" {
        bail!("the practice receiver keeps no records and has no weather: leave --records and --weather out");
    }
    let config = HookConfig {
        listen: Some(args.listen),
        catch: vec![CATCH.to_owned()],
        maker_key: Some(args.token.clone()),
        signing: args.signing,
        ..HookConfig::default()
    };
    let receiver =
        HookSandbox::start(config).await.wrap_err_with(|| format!("the practice receiver cannot listen on {}", args.listen))?;
    let base = receiver.base_url();
    say(format_args!("practice receiver  {base}\ncatch hook         {base}{CATCH}\nIFTTT key          {}", args.token));
    let stop = shutdown::on_signal();
    let mut known = 0;
    while let Some(heard) = stop.run_until_cancelled(receiver.heard_after(known)).await {
        known += heard.len();
        heard.iter().for_each(|heard| say(line(heard)));
    }
    Ok(ExitCode::SUCCESS)
}

fn line(heard: &Heard) -> String {
    let answered = heard.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let again = if heard.again { " again" } else { "" };
    let signature = match heard.signature {
        Signature::NotAsked => "",
        Signature::Good => " signed",
        Signature::Missing => " not signed",
        Signature::Wrong => " wrongly signed",
        Signature::Old => " signed long ago",
    };
    format!("{answered} {} {}{again}{signature} {}", heard.event, heard.key, heard.body)
}
