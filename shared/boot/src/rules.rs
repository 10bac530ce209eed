//! What values mean together: the contradictions that no single value shows. Each rule names every key it is about.
//!
//! Runs over what the file says, so that a finding has a place. A value that is missing or wrong is passed over: its finding is
//! made already.

mod connection;
mod fields;
mod newest;
mod one_way;
mod references;
mod shared;
mod stream;
mod touch;

use crate::errors::Findings;
use crate::node::Located;
use crate::raw::RawConnection;
use crate::settings::WorkerConfig;

pub(crate) fn check(connections: &[RawConnection], worker: Option<&Located<WorkerConfig>>, findings: &Findings) {
    for connection in connections {
        connection::check(connection, worker, findings);
        references::check(connection, findings);
        one_way::check(connection, findings);
        for stream in &connection.streams {
            stream::check(stream, findings);
            fields::check(stream, findings);
            touch::check(stream, findings);
            newest::check(stream, findings);
        }
    }
    shared::check(connections, findings);
    newest::check_between(connections, findings);
}
