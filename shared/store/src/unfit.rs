//! Pushes that wait because the CRM would refuse them as it describes itself: in which streams there are any, and which of them go on when it describes itself otherwise.
//! Judges nothing.

use sea_orm::ConnectionTrait;

use crate::dialect::{in_list, list};
use crate::query::{all, get, run};
use crate::{Store, StoreError};

/// Running streams in which something waits for another description. An index of nothing else answers this.
pub async fn streams(store: &Store) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT s.id FROM tidemark_stream s JOIN tidemark_connection c ON c.name = s.connection WHERE s.state = 'running' AND c.state = 'running'
        AND EXISTS (SELECT 1 FROM tidemark_debt d WHERE d.stream_id = s.id AND d.state = 'parked' AND d.class = 'unfit') ORDER BY s.id LIMIT 1000";
    all(&store.db, sql, vec![]).await?.iter().map(|row| get(row, 0)).collect()
}

/// Lets those go on that were parked under a code that is not among these any more: they are judged anew. Returns how many.
pub async fn free(store: &Store, stream: i64, codes: &[String]) -> Result<u64, StoreError> {
    let backend = store.db.get_database_backend();
    let sql = format!(
        "UPDATE tidemark_debt SET state = 'waiting', attempts = 0, due_at = {{now}}, class = NULL, code = NULL, cause = NULL, next_step = NULL
         WHERE stream_id = $1 AND kind = 'push' AND state = 'parked' AND class = 'unfit' AND COALESCE(code, '') NOT {}",
        in_list(backend, 2, "text")
    );
    run(&store.db, &sql, vec![stream.into(), list(backend, codes.iter().map(String::as_str))]).await
}
