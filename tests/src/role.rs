//! A PostgreSQL role of its own for one test's database: what Tidemark or the shop may do is what was granted to it, nothing more.

use eyre::{Context, OptionExt, ensure};
use sea_orm::DatabaseConnection;

use crate::processes;
use crate::rig::TOKEN;
use crate::{OrderDatabase, connect};

/// A role that may log in.
#[derive(Debug)]
pub struct Role {
    pub name: String,
    /// The test's database as this role.
    pub url: String,
    /// What was granted to it, statement by statement.
    pub grants: Vec<String>,
}

impl Role {
    /// Without any right but to connect. Roles belong to the whole server, so the name is the database's with a suffix.
    pub async fn create(db: &OrderDatabase, suffix: &str) -> eyre::Result<Self> {
        let (server, database) = db.url.rsplit_once('/').ok_or_eyre("a URL without a database")?;
        let (_, place) = server.rsplit_once('@').ok_or_eyre("a URL without a user")?;
        let name = format!("{database}_{suffix}");
        db.run(&format!("CREATE ROLE {name} LOGIN PASSWORD 'test'")).await?;
        db.run("REVOKE ALL ON SCHEMA public FROM PUBLIC").await?;
        Ok(Self { url: format!("postgres://{name}:test@{place}/{database}"), name, grants: Vec::new() })
    }

    /// Tidemark's role as the handbook makes it: what `migrate --plan` prints, and for the first `migrate` the right to make a schema.
    pub async fn least_privileged(db: &OrderDatabase, configuration: &str) -> eyre::Result<Self> {
        let mut role = Self::create(db, "tidemark").await?;
        std::fs::write(db.folder.path().join("plan.toml"), configuration)?;
        let args = ["--config", "plan.toml", "migrate", "--plan"];
        let plan = processes::command(db.folder.path(), &[("HUBSPOT_TOKEN", TOKEN)], &args)?.output().await?;
        let plan = String::from_utf8(plan.stdout)?;
        let printed = plan.lines().filter(|line| line.starts_with("GRANT "));
        role.grants =
            printed.map(|grant| grant.trim_end_matches(';').replace("TO \"tidemark\"", &format!("TO {}", role.name))).collect();
        ensure!(!role.grants.is_empty(), "no grant in the plan:\n{plan}");
        for grant in &role.grants {
            db.run(grant).await?;
        }
        let database = db.url.rsplit_once('/').ok_or_eyre("a URL without a database")?.1;
        db.run(&format!("GRANT CREATE ON DATABASE {database} TO {}", role.name)).await?;
        Ok(role)
    }

    pub async fn connect(&self) -> eyre::Result<DatabaseConnection> {
        connect(&self.url).await.wrap_err_with(|| format!("{} cannot log in", self.name))
    }
}
