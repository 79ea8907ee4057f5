//! What runs in a container and what it uses: `top` and `stats`.

use std::sync::Arc;
use std::time::Duration;

use coracle_engine::{Container, Engine, Sample};
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::answer::{Answer, JSON};
use crate::body;
use crate::call::Call;
use crate::error::Result;
use crate::render;

/// Time between two readings (Docker's).
const INTERVAL: Duration = Duration::from_secs(1);

/// `GET /containers/{name}/top`
pub async fn top(call: Call) -> Result<Answer> {
    let processes = call
        .engine
        .top(call.target(), call.query.text("ps_args").unwrap_or("-ef"))
        .await?;
    Answer::json(&json!({"Titles": processes.titles, "Processes": processes.rows}))
}

/// `GET /containers/{name}/stats`. One answer has the difference of two readings, unless `one-shot` asks for a single
/// one; a stream begins at once and goes on until the container is removed.
pub async fn stats(call: Call) -> Result<Answer> {
    let container = call.engine.find(call.target())?;
    let mut readings = Readings::new(call.engine, container);
    if call.query.flag_or("stream", true) {
        let readings = stream::unfold(readings, async |mut readings| {
            Some((readings.next().await?, readings))
        });
        return Ok(Answer::stream(JSON, body::json_lines(readings.boxed())));
    }
    let mut reading = readings.next().await;
    if !call.query.flag("one-shot") && readings.container.is_active() {
        reading = readings.next().await;
    }
    Answer::json(&reading.unwrap_or(Value::Null))
}

struct Readings {
    engine: Arc<Engine>,
    container: Arc<Container>,
    before: Sample,
    due: Option<Instant>,
}

impl Readings {
    fn new(engine: Arc<Engine>, container: Arc<Container>) -> Self {
        Self {
            engine,
            container,
            before: Sample::default(),
            due: None,
        }
    }

    async fn next(&mut self) -> Option<Value> {
        if let Some(due) = self.due {
            let mut progress = self.container.watch();
            let removed = progress.wait_for(|progress| progress.removed).map(drop);
            tokio::select! {
                () = removed => return None,
                () = sleep_until(due) => {}
            }
        }
        self.due = Some(Instant::now() + INTERVAL);
        let now = match self.engine.sample(&self.container).await {
            Ok(sample) => sample,
            Err(error) => {
                tracing::warn!("read what container {} uses: {error}", self.container.id());
                return None;
            }
        };
        let value = render::stats::stats(
            self.container.id(),
            &self.container.name(),
            &now,
            &self.before,
        );
        self.before = now;
        Some(value)
    }
}
