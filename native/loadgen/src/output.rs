//! Lines for whoever started this process.

use std::io::{Write, stdout};

use serde::Serialize;

/// Print one JSON object on a line of its own, at once.
pub fn say(what: &impl Serialize) {
    let Ok(mut line) = serde_json::to_vec(what) else {
        return;
    };
    line.push(b'\n');
    let mut out = stdout().lock();
    // Nobody is left to be told when this fails.
    let _ = out.write_all(&line).and_then(|()| out.flush());
}
