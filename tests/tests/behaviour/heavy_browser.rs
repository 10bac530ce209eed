//! The dashboard as a browser shows it: its words in the page, and its picture in light and dark. Where there is no browser (`TIDEMARK_TEST_BROWSER` is not set)
//! there is nothing to look with.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use eyre::{OptionExt, bail, ensure};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_tests::deadline::until;
use tidemark_tests::house::{House, PATIENCE};
use tidemark_tests::{Kind, Setup};
use tokio::process::Command;
use tokio::time::timeout;

const BROWSER_PATIENCE: Duration = Duration::from_secs(120);
const SIZE: (u32, u32) = (1000, 700);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_the_dashboard_is_read_in_a_browser_and_seen_in_light_and_dark() -> eyre::Result<()> {
    let Some(browser) = std::env::var_os("TIDEMARK_TEST_BROWSER").map(PathBuf::from) else {
        eprintln!("TIDEMARK_TEST_BROWSER is not set: nothing to look with");
        return Ok(());
    };
    let mut house = House::open(Kind::Sqlite, Setup::default(), &[]).await?;
    let crm = house.rig.crm.crm();
    for last in ["Ortiz", "Forbidden"] {
        let email = format!("{last}@acme.test");
        crm.create(Contacts, &[("email", &email), ("lastname", last)]).map_err(|refusal| eyre::eyre!("{}", refusal.message()))?;
    }
    house.start("up-1")?;
    house.loaded().await?;
    let (debts, db) = (format!("{} WHERE state = 'parked'", house.rig.db.own("tidemark_debt")), &house.rig.db);
    let parked = until("one record is parked", PATIENCE, async || Ok((db.count(&debts).await? == 1).then_some(()))).await;
    house.explain(parked)?;
    let address = house.dashboard("up-1").await?;
    let looking = look(&browser, &address, house.rig.db.folder.path()).await;
    house.explain(looking)
}

async fn look(browser: &Path, address: &str, folder: &Path) -> eyre::Result<()> {
    let home = dom(browser, address, folder).await?;
    for words in [
        "hubspot.contacts",
        "hubspot.deals",
        "Waits for a person",
        "customers refused the new row",
        "correct the record in the CRM",
        "Parked",
        "Workers",
    ] {
        ensure!(home.contains(words), "{words:?} is not on the page:\n{home}");
    }
    let stream = dom(browser, &format!("{address}streams/hubspot.contacts"), folder).await?;
    for words in ["email", "first_name", "customers"] {
        ensure!(stream.contains(words), "{words:?} is not on the page:\n{stream}");
    }
    let mut brightness = Vec::new();
    for theme in ["light", "dark"] {
        let picture = folder.join(format!("{theme}.png"));
        let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/screenshot"));
        script
            .args([address, &picture.display().to_string(), theme])
            .env("TIDEMARK_SCREENSHOT_SIZE", format!("{},{}", SIZE.0, SIZE.1));
        ended(script).await?;
        let bytes = fs::read(&picture)?;
        ensure!(size(&bytes)? == SIZE, "the picture is {:?}", size(&bytes)?);
        brightness.push(brightness_of(browser, &bytes, folder).await?);
    }
    ensure!(brightness[0] > 200 && brightness[1] < 80, "light and dark are {brightness:?} bright, of 255");
    Ok(())
}

/// The page once its scripts have run, as text.
async fn dom(browser: &Path, url: &str, folder: &Path) -> eyre::Result<String> {
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
    ]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display())).args(["--dump-dom", url]);
    Ok(String::from_utf8_lossy(&ended(command).await?.stdout).into_owned())
}

async fn ended(mut command: Command) -> eyre::Result<Output> {
    let output = timeout(BROWSER_PATIENCE, command.kill_on_drop(true).output()).await??;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output)
}

/// Width and height, from a PNG's first chunk.
fn size(png: &[u8]) -> eyre::Result<(u32, u32)> {
    ensure!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "that is no PNG");
    let number = |at: usize| -> eyre::Result<u32> {
        let bytes = png.get(at..at + 4).ok_or_eyre("the PNG ends in its head")?;
        Ok(u32::from_be_bytes(bytes.try_into()?))
    };
    Ok((number(16)?, number(20)?))
}

/// How bright a picture is on the whole, 0 to 255: the browser itself unpacks it.
async fn brightness_of(browser: &Path, png: &[u8], folder: &Path) -> eyre::Result<u32> {
    let mut data = String::with_capacity(png.len() * 3);
    for byte in png {
        write!(data, "%{byte:02x}")?;
    }
    let page = format!(
        "<title>waiting</title><img id=i src='data:image/png,{data}'><script>
        document.getElementById('i').onload = (event) => {{
            const [image, canvas] = [event.target, document.createElement('canvas')];
            [canvas.width, canvas.height] = [image.width, image.height];
            const drawing = canvas.getContext('2d');
            drawing.drawImage(image, 0, 0);
            const pixels = drawing.getImageData(0, 0, canvas.width, canvas.height).data;
            let sum = 0;
            for (let at = 0; at < pixels.length; at += 4) sum += pixels[at] + pixels[at + 1] + pixels[at + 2];
            document.title = 'brightness ' + Math.round(sum / (pixels.length / 4 * 3)) + '.';
            image.remove();
        }};</script>"
    );
    let file = folder.join("brightness.html");
    fs::write(&file, page)?;
    let dom = dom(browser, &format!("file://{}", file.display()), folder).await?;
    let number = dom.split_once("<title>brightness ").and_then(|(_, rest)| rest.split_once('.')).map(|(number, _)| number);
    Ok(number.ok_or_eyre("the browser could not unpack the picture")?.parse()?)
}
