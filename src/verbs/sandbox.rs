//! `sandbox`: the practice CRM, until told to stop.

use std::process::ExitCode;

use tidemark_boot::shutdown;
use tidemark_sandbox::{ObjectType, Sandbox, SandboxConfig, Weather};

use crate::cli::SandboxArgs;
use crate::verbs::say;

pub(crate) async fn run(args: SandboxArgs) -> eyre::Result<ExitCode> {
    let weather = if args.weather == "rough" { Weather::rough() } else { Weather::calm() };
    let config = SandboxConfig { listen: args.listen, token: args.token, weather, seed: args.seed, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await?;
    for at in 1..=args.records {
        let email = format!("contact{at}@robots.example");
        sandbox
            .crm()
            .create(ObjectType::Contacts, &[("email", &email), ("firstname", "Contact"), ("lastname", &at.to_string())])?;
    }
    say(format_args!("practice CRM  {0}\npage          {0}/sandbox/", sandbox.base_url()));
    shutdown::on_signal().cancelled().await;
    sandbox.stop().await;
    Ok(ExitCode::SUCCESS)
}
