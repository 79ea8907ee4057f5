//! `ros service enable` (E1-014).

use coracle_config::tree;
use coracle_services::{Catalogue, Engines, Project, Scope};
use serde_json::Value;

use crate::Error;
use crate::commands::config::UserConfig;
use crate::context::{Context, block_on};

#[derive(Debug, clap::Args)]
pub(crate) struct Enable {
    /// Names from `ros service list`, or paths of files below /var/lib/rancher/conf
    #[arg(required = true)]
    names: Vec<String>,
}

impl Enable {
    /// All names are looked at before any is enabled.
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let catalogue = Catalogue::below(&context.root);
        let loaded = coracle_config::load(&context.root);
        let mut project = Project::parse(
            &Value::Null,
            coracle_services::Environment::from_config(&loaded.tree["rancher"], ""),
        );
        for name in &self.names {
            let definitions = catalogue.definitions(name);
            project.add(&definitions.map_err(|problem| Error::Refused(problem.to_string()))?);
        }
        for problem in &project.problems {
            writeln!(context.err, "{problem}")?;
        }
        let mut config = UserConfig::read(context)?;
        for name in &self.names {
            let key = format!("rancher.services_include.{name}");
            tree::set(&mut config.tree, &key, Value::Bool(true));
        }
        config.store()?;
        for image in block_on(missing(&context.engines, &project)).unwrap_or_default() {
            writeln!(
                context.err,
                "image {image} is not on this machine yet; load it with `system-docker load` before the next boot"
            )?;
        }
        Ok(())
    }
}

/// Images of system services that System Docker lacks.
async fn missing(engines: &Engines, project: &Project) -> Result<Vec<String>, Error> {
    let mut missing = Vec::new();
    let engine = engines.for_scope(Scope::System).await?;
    for service in project
        .services
        .iter()
        .filter(|s| s.steering.scope == Scope::System)
    {
        if engine.image_id(&service.image).await?.is_none() {
            missing.push(service.image.clone());
        }
    }
    Ok(missing)
}
