//! `ros dev` (E1-033).

use coracle_disk::DeviceSpec;

use crate::Error;
use crate::context::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct Dev {
    /// LABEL=, UUID=, PARTLABEL= or PARTUUID= and its value, or a path
    #[arg(value_name = "LABEL=NAME")]
    spec: String,
}

impl Dev {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let spec: DeviceSpec = self
            .spec
            .parse()
            .map_err(|e| Error::Refused(format!("{}: {e}", self.spec)))?;
        match coracle_disk::find(&spec) {
            Some(device) => Ok(writeln!(context.out, "{}", device.node.display())?),
            None => Err(Error::Refused(format!("no device is {}", self.spec))),
        }
    }
}
