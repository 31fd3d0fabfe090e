//! The images that scenarios use, as an archive for a registry that a real cluster pulls from.

use wi_conformance::console;
use wi_conformance::{Exit, Stop};
use wi_images::archive::{Image, Layer};

use crate::args::ImagesArgs;

/// Writes the archive and says how it is brought to the registry.
pub(crate) fn write(args: &ImagesArgs) -> Result<Exit, Stop> {
    if wi_images::registry(&wi_images::in_registry(&args.registry, "x")).is_none() {
        return Err(Stop::new(
            Exit::Usage,
            format!(
                "--registry {}: expected a registry host and a folder, such as `myregistry.azurecr.io/wi-conformance`",
                args.registry
            ),
        ));
    }
    let images: Vec<Image> = wi_images::ours()
        .map(|(name, program)| Image {
            name: format!("{}:latest", wi_images::in_registry(&args.registry, name)),
            args: vec!["fixture".to_owned(), program.program.clone()],
            env: program.env.clone(),
            file: None,
            run: None,
        })
        .collect();
    let unfit = |why: String| Stop::new(Exit::TargetUnfit, why);
    let layer = Layer::of(args.image_program.as_deref()).map_err(|error| unfit(wi_engine::sentence(&error)))?;
    let archive = layer.archive(&images).map_err(|error| unfit(wi_engine::sentence(&error)))?;
    std::fs::write(&args.out, archive).map_err(|error| unfit(format!("{}: {error}", args.out.display())))?;
    console::tell(format!("{} images in {}; to push them to the registry:", images.len(), args.out.display()));
    console::say(format!("docker load --input {}", args.out.display()));
    for image in &images {
        console::say(format!("docker push {}", image.name));
    }
    Ok(Exit::Conformant)
}
