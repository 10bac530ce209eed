//! What the dashboard, `status` and the metrics show: read-only questions over everything, each bounded.
