//! The `tidemark` command: composition only.

fn main() {}
