//! A dashboard that really listens, over a database of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use reqwest::{Client, Response, redirect};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use tempfile::TempDir;
use tidemark_scheduler::http::{AppState, bind, serve_on};
use tidemark_store::Store;
use tokio_util::sync::CancellationToken;

use crate::{seed, webhooks};

pub(crate) struct Site {
    pub(crate) store: Store,
    pub(crate) db: DatabaseConnection,
    pub(crate) address: String,
    pub(crate) client: Client,
    /// Whether the queue answers.
    pub(crate) queue: Arc<AtomicBool>,
    pub(crate) last_tick: Arc<AtomicI64>,
    shutdown: CancellationToken,
    _folder: TempDir,
}

/// On SQLite in a folder of its own.
pub(crate) async fn on_sqlite(token: Option<&str>) -> Site {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("orders.db").display());
    open(&url, token, folder).await
}

/// On a new database of the server in `TIDEMARK_TEST_POSTGRES`.
pub(crate) async fn on_postgres(token: Option<&str>) -> Site {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("TIDEMARK_TEST_POSTGRES")
        .expect("TIDEMARK_TEST_POSTGRES is not set: run the tests with scripts/test, which starts a private PostgreSQL");
    let name = format!("dashboard_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let admin = Database::connect(&server).await.unwrap();
    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    admin.close().await.unwrap();
    let (head, tail) = server.split_once("://").unwrap();
    let (place, query) = tail.split_once('?').map_or((tail, String::new()), |(place, query)| (place, format!("?{query}")));
    let place = place.split_once('/').map_or(place, |(place, _)| place);
    open(&format!("{head}://{place}/{name}{query}"), token, tempfile::tempdir().unwrap()).await
}

async fn open(url: &str, token: Option<&str>, folder: TempDir) -> Site {
    let (store, db) = seed::open(url).await;
    let queue = Arc::new(AtomicBool::new(true));
    let answers = queue.clone();
    let last_tick = Arc::new(AtomicI64::new(0));
    let state = AppState {
        store: store.clone(),
        queue_depth: Arc::new(move || {
            let depth = answers.load(Ordering::Relaxed).then_some((3, 2));
            Box::pin(async move { depth })
        }),
        specs: Arc::new(seed::specs()),
        last_tick: last_tick.clone(),
        webhooks: Arc::new(webhooks::configured()),
    };
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    tokio::spawn(serve_on(listener, token.map(Into::into), state, shutdown.clone()));
    let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    Site { store, db, address, client, queue, last_tick, shutdown, _folder: folder }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Site {
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.address)).header("accept", "text/html").send().await.unwrap()
    }

    /// The body of a page that has to be there.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, form: &str) -> Response {
        let request =
            self.client.post(format!("{}{path}", self.address)).header("content-type", "application/x-www-form-urlencoded");
        request.header("accept", "text/html").body(form.to_owned()).send().await.unwrap()
    }

    pub(crate) async fn text(&self, sql: &str) -> String {
        let statement = sea_orm::Statement::from_string(self.db.get_database_backend(), sql);
        let row = self.db.query_one_raw(statement).await.unwrap().unwrap();
        row.try_get_by_index::<Option<String>>(0).unwrap().unwrap_or_default()
    }
}

/// A page's words, one line per block, without tags; entities stay as they are.
pub(crate) fn words(page: &str) -> String {
    let main = page.split("<main").nth(1).unwrap_or(page);
    let main = main.split_once('>').map_or(main, |(_, rest)| rest);
    let mut out = String::new();
    let mut rest = main;
    while let Some((text, tail)) = rest.split_once('<') {
        out.push_str(text);
        let (tag, tail) = tail.split_once('>').unwrap_or((tail, ""));
        let name = tag.trim_start_matches('/').split([' ', '>']).next().unwrap_or(tag);
        if matches!(name, "title" | "label" | "button" | "summary") && !tag.starts_with('/') {
            rest = tail.split_once(&format!("</{name}>")).map_or(tail, |(_, tail)| tail);
            continue;
        }
        if matches!(name, "div" | "p" | "h1" | "h2" | "li" | "tr" | "article" | "section") {
            out.push('\n');
        } else if matches!(name, "td" | "th" | "dd" | "dt" | "small") {
            out.push(' ');
        }
        rest = tail;
    }
    let lines = out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}
