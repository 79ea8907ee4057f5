//! What System Docker does and Docker does not. Everything of this kind is below `/coracle/`.

use serde_json::json;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::Result;

/// `GET /coracle/engine`: which engine it is, and how many times it has replaced itself.
pub async fn engine(call: Call) -> Result<Answer> {
    Answer::json(&json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "Pid": std::process::id(),
        "Generation": call.engine.generation(),
    }))
}

/// `POST /coracle/reload`: replaces the engine by `binary` (an absolute path), or by the installed one. The answer comes when
/// nothing can go wrong any more; the next connection is served by the successor.
pub async fn reload(call: Call) -> Result<Answer> {
    let binary = call.query.text("binary").map(Into::into);
    let reload = call.engine.reload(binary).await?;
    Answer::json(&json!({
        "Binary": reload.program,
        "Version": reload.version,
        "Generation": reload.generation,
    }))
}
