//! A text in a file beside an embedded queue's, which outlives it: what the queue forgets at each start, a witness has to keep. Knows nothing of what it says.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::QueueError;
use crate::embedded_queue::beside;

const SUFFIX: &str = ".witness";

pub(crate) fn read(queue: &Path) -> Result<Option<String>, QueueError> {
    match std::fs::read_to_string(beside(queue, SUFFIX)) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        // Half a file, or none: nobody remembers.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => Ok(None),
        Err(error) => Err(QueueError::failed("read its witness file")(error)),
    }
}

/// In one step, so that nobody reads half of it.
pub(crate) fn write(queue: &Path, text: &str) -> Result<(), QueueError> {
    let (file, new) = (beside(queue, SUFFIX), beside(queue, ".witness-new"));
    let written: io::Result<()> = std::fs::write(&new, format!("{text}\n")).and_then(|()| std::fs::rename(&new, &file));
    written.map_err(QueueError::failed("write its witness file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_is_read_as_it_was_last_written_and_is_absent_before() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let queue = folder.path().join("queue.db");
        assert_eq!(read(&queue).expect("it can be asked"), None);
        for said in ["a 1", "a 22"] {
            write(&queue, said).expect("it can be written");
            assert_eq!(read(&queue).expect("it can be asked").as_deref(), Some(said));
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("it can be listed").count(), 1, "nothing else is left");
    }
}
