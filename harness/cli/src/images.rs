//! The images that scenarios use, as an archive for a registry that a real cluster pulls from.

use crate::args::ImagesArgs;
use crate::console;
use crate::exit::{Exit, Stop, chain};
use crate::real_cluster::image::{Image, Layer};

/// The name that an image of ours has in a registry.
pub(crate) fn in_registry(registry: &str, name: &str) -> String {
    format!("{}/{name}", registry.trim_end_matches('/'))
}

/// Writes the archive and says how it is brought to the registry.
pub(crate) fn write(args: &ImagesArgs) -> Result<Exit, Stop> {
    if wi_quickstart::images::registry(&in_registry(&args.registry, "x")).is_none() {
        return Err(Stop::new(
            Exit::Usage,
            format!(
                "--registry {}: expected a registry's host and a folder in it, such as `myregistry.azurecr.io/wi-conformance`",
                args.registry
            ),
        ));
    }
    let images: Vec<Image> = wi_quickstart::images::ours()
        .map(|(name, program)| Image {
            name: format!("{}:latest", in_registry(&args.registry, name)),
            args: vec!["fixture".to_owned(), program.program.clone()],
            env: program.env.clone(),
            file: None,
            run: None,
        })
        .collect();
    let unfit = |why: String| Stop::new(Exit::TargetUnfit, why);
    let layer = Layer::of(args.image_program.as_deref()).map_err(|error| unfit(chain(&error)))?;
    let archive = layer.archive(&images).map_err(|error| unfit(chain(&error)))?;
    std::fs::write(&args.out, archive).map_err(|error| unfit(format!("{}: {error}", args.out.display())))?;
    console::tell(format!("{} images in {}; to bring them to the registry:", images.len(), args.out.display()));
    console::say(format!("docker load --input {}", args.out.display()));
    for image in &images {
        console::say(format!("docker push {}", image.name));
    }
    Ok(Exit::Conformant)
}
