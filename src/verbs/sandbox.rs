//! `sandbox`: the practice CRM, until told to stop.

use std::process::ExitCode;

use tidemark_boot::shutdown;
use tidemark_sandbox::{Dialect, Sandbox, SandboxConfig, Weather};

use crate::cli::SandboxArgs;
use crate::verbs::say;

pub(crate) async fn run(args: SandboxArgs) -> eyre::Result<ExitCode> {
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
