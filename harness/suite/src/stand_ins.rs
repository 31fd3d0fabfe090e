//! Programs that stand for images of somebody's manifests: `--image NAME=PROGRAM`, and `pods.images` of `suite.yaml`.

use std::path::Path;

use wi_target_embedded::MARKER;
use wi_target_embedded::Program;

use crate::exit::{Exit, Stop};

/// An image's name, and the program that stands for it: a built-in image, or a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    pub name: String,
    pub program: String,
}

impl std::str::FromStr for StandIn {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, program)) if !name.is_empty() && !program.is_empty() => Ok(StandIn::new(name, program)),
            _ => Err("expected NAME=PROGRAM, such as `registry.example/shop/web=quickstart/rust`".to_owned()),
        }
    }
}

impl StandIn {
    /// Tag and digest are no part of the name.
    pub fn new(name: &str, program: &str) -> Self {
        StandIn { name: wi_images::repository(name).to_owned(), program: program.to_owned() }
    }
}

/// Those of the command line before those of the suite.
pub fn all(flags: &[StandIn], suite: &[(String, String)]) -> Vec<StandIn> {
    let of_suite = suite.iter().map(|(name, program)| StandIn::new(name, program));
    flags.iter().cloned().chain(of_suite).collect()
}

/// As programs that run here.
///
/// # Errors
/// Something that is neither a built-in image nor a program.
pub fn programs(stand_ins: &[StandIn]) -> Result<Vec<(String, Program)>, Stop> {
    stand_ins.iter().map(|stand_in| Ok((stand_in.name.clone(), program(stand_in)?))).collect()
}

fn program(stand_in: &StandIn) -> Result<Program, Stop> {
    if let Some(built_in) = ours(&stand_in.program) {
        let this = std::env::current_exe().map_err(|error| Stop::from_error(Exit::TargetUnfit, &error))?;
        let program = Program::new(this).arg(MARKER).arg(built_in.program);
        return Ok(Program { env: built_in.env.into_iter().collect(), ..program });
    }
    let path = Path::new(&stand_in.program);
    let found = path.canonicalize().ok().filter(|path| is_program(path));
    found.map(Program::new).ok_or_else(|| {
        let ours: Vec<&str> = wi_images::ours().map(|(name, _)| name).collect();
        Stop::new(
            Exit::Usage,
            format!(
                "image {}: expected an executable program, or one of {}; found `{}`",
                stand_in.name,
                ours.join(", "),
                stand_in.program
            ),
        )
    })
}

/// As built-in images, for nodes that run images.
///
/// # Errors
/// Something that is none.
pub fn images(stand_ins: &[StandIn]) -> Result<Vec<(String, String)>, Stop> {
    let image = |stand_in: &StandIn| match ours(&stand_in.program) {
        Some(_) => Ok((stand_in.name.clone(), stand_in.program.clone())),
        None => Err(Stop::new(
            Exit::Usage,
            format!(
                "image {}: `{}` is not a built-in image, and the nodes of this target run images, not programs: provide the image with --load on kind or `pods.images` in a target file",
                stand_in.name, stand_in.program
            ),
        )),
    };
    stand_ins.iter().map(image).collect()
}

/// The built-in program of a built-in image, if scenarios may name it.
fn ours(name: &str) -> Option<wi_images::BuiltIn> {
    wi_images::resolve(name).filter(|built_in| !built_in.is_injected())
}

pub fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_is_named_without_its_tag_and_is_an_image_of_ours_or_a_program() {
        let read = |text: &str| text.parse::<StandIn>();
        assert_eq!(read("a.b:5000/c:1=quickstart/rust").unwrap(), StandIn::new("a.b:5000/c", "quickstart/rust"));
        assert!(read("a").is_err() && read("=b").is_err() && read("a=").is_err());
        let one = |program: &str| programs(&[StandIn::new("a", program)]).map(|mut all| all.remove(0).1);
        assert_eq!(one("quickstart/rust").unwrap().args, [MARKER, "quickstart"]);
        assert_eq!(one("/bin/sh").unwrap().args.len(), 0);
        let no_program = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert!(one(no_program).is_err() && one("/nowhere").is_err() && one("wi-conformance/proxy").is_err());
        assert!(images(&[StandIn::new("a", "/bin/sh")]).is_err());
    }
}
