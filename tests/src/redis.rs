//! The tests' Redis, in its own words over a socket: what the queue's library would not say or do.

use eyre::{OptionExt, WrapErr, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The server's URL, less the number of a database.
pub fn server() -> eyre::Result<String> {
    let url = std::env::var("TIDEMARK_TEST_REDIS")
        .wrap_err("TIDEMARK_TEST_REDIS is not set: run the tests with scripts/test, which starts the servers")?;
    let (server, _) = url.rsplit_once('/').ok_or_eyre("the Redis URL has no database")?;
    Ok(server.to_owned())
}

/// FLUSHALL: every database of the server is empty.
pub async fn flush_all() -> eyre::Result<()> {
    let answer = say(0, "FLUSHALL").await?;
    ensure!(answer == "+OK", "Redis says {answer}");
    Ok(())
}

/// How many hints a worker process holds: taken from the queue, not yet finished.
pub async fn held_by(database: u8, prefix: &str, process: u32) -> eyre::Result<u64> {
    // The worker's name, which ends the key, has the process id in it.
    let script = format!(
        "local n = 0 for _, key in ipairs(redis.call('keys', '{prefix}:inflight:*-{process}-*')) do n = n + redis.call('scard', key) end return n"
    );
    let answer = say(database, &format!("EVAL \"{script}\" 0")).await?;
    let Some(number) = answer.strip_prefix(':') else { bail!("Redis says {answer}") };
    Ok(number.parse()?)
}

/// One inline command; the first line of its answer.
async fn say(database: u8, command: &str) -> eyre::Result<String> {
    let server = server()?;
    let (secret, address) = server.trim_start_matches("redis://").split_once('@').ok_or_eyre("the Redis URL has no password")?;
    let (_, password) = secret.split_once(':').ok_or_eyre("the Redis URL has no password")?;
    let mut line = TcpStream::connect(address).await?;
    line.write_all(format!("AUTH {password}\r\nSELECT {database}\r\n{command}\r\nQUIT\r\n").as_bytes()).await?;
    let mut answer = String::new();
    line.read_to_string(&mut answer).await?;
    let mut lines = answer.lines();
    ensure!(lines.by_ref().take(2).eq(["+OK", "+OK"]), "Redis says {answer}");
    lines.next().map(str::to_owned).ok_or_eyre("Redis says nothing")
}
