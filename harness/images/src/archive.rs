//! Container images made by the program itself: its own executable and the shared libraries that it needs, in one layer,
//! without a base image. Images that differ in their entry point alone share that layer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::{Endianness, elf};
use serde_json::{Value, json};
use wi_model::secret::sha256_hex;

/// The label of images and containers that are made for one run.
pub const RUN_LABEL: &str = "wi-conformance.run";
/// The program inside an image.
const PROGRAM: &str = "/wi-conformance";
/// The same program where a hook of the containers that webhooks inject looks for it.
const LINK: &str = crate::proxy::PROGRAM;
/// A layer that is not compressed.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Its libraries, found by `LD_LIBRARY_PATH`, so that no distribution's search path matters.
const LIBRARIES: &str = "/lib/wi-conformance";
/// Whom an image's program runs as: nobody in particular, as Pod Security *restricted* asks.
pub const USER: u32 = 65532;

/// Why no image can be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file that an image needs.
    #[error("{}: cannot be read, but an image needs it", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        #[source]
        source: std::io::Error,
    },
    /// A program that Linux nodes cannot run.
    #[error("{}: expected a 64-bit Linux executable, found {found}; name one that is with --image-program", .path.display())]
    NotLinux {
        /// The program.
        path: PathBuf,
        /// What its first bytes say.
        found: String,
    },
    /// A shared library that was not found.
    #[error(
        "{}: needs {}, which this process has not mapped; name a statically linked program with --image-program",
        .path.display(), .library
    )]
    Library {
        /// The program.
        path: PathBuf,
        /// The name of the library.
        library: String,
    },
    /// The archive could not be written.
    #[error("the image could not be packed")]
    Pack(#[source] std::io::Error),
}

/// An executable and everything that it needs to run, as a layer of images.
pub struct Layer {
    tar: Vec<u8>,
    digest: String,
    architecture: &'static str,
}

/// An image: its full name, and how its program is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its full name.
    pub name: String,
    /// The arguments of its program.
    pub args: Vec<String>,
    /// The variables that it sets.
    pub env: BTreeMap<String, String>,
    /// A file of its own, by its path; it lies in a layer of its own.
    pub file: Option<(String, Vec<u8>)>,
    /// The run that it is made for, in a label; `None` where it is for several.
    pub run: Option<String>,
}

/// The digest of each image in an archive, by its name.
pub fn digests(archive: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(archive);
    let mut files = archive.entries().into_iter().flatten().flatten();
    let index = files.find(|file| file.path().is_ok_and(|path| path.ends_with("index.json")));
    let index: Value = index.and_then(|index| serde_json::from_reader(index).ok()).unwrap_or_default();
    let images = index["manifests"].as_array().into_iter().flatten();
    let named = images.filter_map(|image| {
        let name = image["annotations"]["io.containerd.image.name"].as_str()?;
        Some((name.to_owned(), image["digest"].as_str()?.to_owned()))
    });
    named.collect()
}

impl Layer {
    /// Of this process's own executable, or of another program.
    ///
    /// # Errors
    /// It is not a Linux program, or one of its libraries is not to be found.
    pub fn of(program: Option<&Path>) -> Result<Self, ImageError> {
        let path = match program {
            Some(path) => path.to_owned(),
            None => std::env::current_exe()
                .map_err(|source| ImageError::Read { path: "this program's own file".into(), source })?,
        };
        let bytes = read(&path)?;
        let needs = Needs::of(&path, &bytes)?;
        let mut files = vec![(PROGRAM.to_owned(), 0o755, bytes)];
        // What another program would map is not known here; this one's libraries are those of this process.
        let mapped = if program.is_none() { mapped() } else { Vec::new() };
        let mut pending = needs.libraries;
        let mut taken = Vec::new();
        while let Some(library) = pending.pop() {
            if taken.contains(&library) {
                continue;
            }
            let (found, bytes) = locate(&library, &mapped)
                .ok_or_else(|| ImageError::Library { path: path.clone(), library: library.clone() })?;
            pending.extend(Needs::of(&found, &bytes)?.libraries);
            files.push((format!("{LIBRARIES}/{library}"), 0o755, bytes));
            taken.push(library);
        }
        if let Some(interpreter) = needs.interpreter {
            let bytes = read(Path::new(&interpreter))?;
            files.push((interpreter, 0o755, bytes));
        }
        // Names that a pod is given lie in /etc/hosts.
        files.push(("/etc/nsswitch.conf".to_owned(), 0o644, b"hosts: files dns\n".to_vec()));
        let passwd = format!("root:x:0:0:root:/:/none\nnonroot:x:{USER}:{USER}:nonroot:/tmp:/none\n");
        files.push(("/etc/passwd".to_owned(), 0o644, passwd.into_bytes()));
        let tar = pack(&files).map_err(ImageError::Pack)?;
        Ok(Layer { digest: sha256_hex(&tar), tar, architecture: needs.architecture })
    }

    /// What tells this layer from another program's, short enough for a tag.
    pub fn tag(&self) -> &str {
        &self.digest[..12]
    }

    /// Images of this layer as one archive, in the layout of OCI and with the index of older Docker engines beside it.
    pub fn archive(&self, images: &[Image]) -> Result<Vec<u8>, ImageError> {
        let mut blobs = BTreeMap::new();
        blobs.insert(self.digest.clone(), self.tar.clone());
        let (mut manifests, mut docker) = (Vec::new(), Vec::new());
        for image in images {
            let mut layers = vec![(self.digest.clone(), self.tar.len())];
            if let Some((path, bytes)) = &image.file {
                let tar = pack(&[(path.clone(), 0o644, bytes.clone())]).map_err(ImageError::Pack)?;
                layers.push((sha256_hex(&tar), tar.len()));
                blobs.insert(sha256_hex(&tar), tar);
            }
            let digests: Vec<&str> = layers.iter().map(|(digest, _)| digest.as_str()).collect();
            let config = self.config(image, &digests).to_string().into_bytes();
            let config_digest = sha256_hex(&config);
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": descriptor("application/vnd.oci.image.config.v1+json", &config_digest, config.len()),
                "layers": layers.iter().map(|(digest, size)| descriptor(LAYER, digest, *size)).collect::<Vec<_>>(),
            })
            .to_string()
            .into_bytes();
            let manifest_digest = sha256_hex(&manifest);
            let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest_digest, manifest.len());
            let tag = image.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
            entry["annotations"] =
                json!({ "io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": tag });
            entry["platform"] = json!({ "architecture": self.architecture, "os": "linux" });
            manifests.push(entry);
            docker.push(json!({
                "Config": blob(&config_digest), "RepoTags": [image.name],
                "Layers": digests.iter().map(|digest| blob(digest)).collect::<Vec<_>>(),
            }));
            blobs.insert(config_digest, config);
            blobs.insert(manifest_digest, manifest);
        }
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests,
        });
        let mut files = vec![
            ("/oci-layout".to_owned(), 0o644, json!({ "imageLayoutVersion": "1.0.0" }).to_string().into_bytes()),
            ("/index.json".to_owned(), 0o644, index.to_string().into_bytes()),
            ("/manifest.json".to_owned(), 0o644, Value::from(docker).to_string().into_bytes()),
        ];
        files.extend(blobs.into_iter().map(|(digest, bytes)| (format!("/{}", blob(&digest)), 0o644, bytes)));
        pack(&files).map_err(ImageError::Pack)
    }

    fn config(&self, image: &Image, layers: &[&str]) -> Value {
        let mut env: Vec<String> = image.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        env.push(format!("LD_LIBRARY_PATH={LIBRARIES}"));
        let entry: Vec<&str> = std::iter::once(PROGRAM).chain(image.args.iter().map(String::as_str)).collect();
        let labels: BTreeMap<&str, &String> = image.run.iter().map(|run| (RUN_LABEL, run)).collect();
        json!({
            "architecture": self.architecture,
            "os": "linux",
            // The same program gives the same image, whenever it is made.
            "created": "1970-01-01T00:00:00Z",
            "config": { "User": format!("{USER}:{USER}"), "Entrypoint": entry, "Env": env, "WorkingDir": "/", "Labels": labels },
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|d| format!("sha256:{d}")).collect::<Vec<_>>() },
            "history": layers.iter().map(|_| json!({ "created": "1970-01-01T00:00:00Z", "created_by": "wi-conformance" }))
                .collect::<Vec<_>>(),
        })
    }
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

fn descriptor(media_type: &str, digest: &str, size: usize) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size })
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    std::fs::read(path).map_err(|source| ImageError::Read { path: path.to_owned(), source })
}

/// What a program or library asks of the loader.
struct Needs {
    interpreter: Option<String>,
    libraries: Vec<String>,
    architecture: &'static str,
}

impl Needs {
    fn of(path: &Path, bytes: &[u8]) -> Result<Self, ImageError> {
        let unfit = |found: String| ImageError::NotLinux { path: path.to_owned(), found };
        let fault = |error: object::Error| unfit(error.to_string());
        let header = elf::FileHeader64::<Endianness>::parse(bytes).map_err(|_| unfit("another kind of file".into()))?;
        let endian = header.endian().map_err(fault)?;
        // The words of the image specification, which are Go's.
        let architecture = match header.e_machine(endian) {
            elf::EM_X86_64 => "amd64",
            elf::EM_AARCH64 => "arm64",
            machine => return Err(unfit(format!("machine {machine}"))),
        };
        let (mut interpreter, mut libraries) = (None, Vec::new());
        let segments = header.program_headers(endian, bytes).map_err(fault)?;
        for segment in segments {
            if let Ok(Some(name)) = segment.interpreter(endian, bytes) {
                interpreter = Some(String::from_utf8_lossy(name).into_owned());
            }
        }
        let sections = header.sections(endian, bytes).map_err(fault)?;
        if let Some((entries, strings)) = sections.dynamic(endian, bytes).map_err(fault)? {
            let strings = sections.strings(endian, bytes, strings).map_err(fault)?;
            for entry in entries.iter().filter(|entry| entry.tag(endian) == elf::DT_NEEDED) {
                let name = entry.string(endian, strings).map_err(fault)?;
                libraries.push(String::from_utf8_lossy(name).into_owned());
            }
        }
        Ok(Needs { interpreter, libraries, architecture })
    }
}

/// Shared libraries that this process has mapped.
fn mapped() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut paths: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| path.contains(".so"))
        .map(PathBuf::from)
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// A library by the name that a program asks for: the file's own, or what its file says of itself.
fn locate(library: &str, mapped: &[PathBuf]) -> Option<(PathBuf, Vec<u8>)> {
    let named = mapped.iter().find(|path| path.file_name().is_some_and(|name| name == library));
    let beside = mapped.iter().filter_map(|path| path.parent()).map(|folder| folder.join(library));
    let path = named.cloned().or_else(|| beside.into_iter().find(|path| path.is_file()))?;
    let bytes = std::fs::read(&path).ok()?;
    Some((path, bytes))
}

/// Files as a tar archive that depends on nothing but them; beside the program, a `/tmp` for whoever runs, and its other name.
fn pack(files: &[(String, u32, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut folders = Vec::new();
    let header = |kind: tar::EntryType, mode: u32, size: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size as u64);
        header.set_mtime(0);
        header
    };
    let in_image = files.iter().any(|(path, _, _)| path == PROGRAM);
    if in_image {
        tar.append_data(&mut header(tar::EntryType::Directory, 0o1777, 0), "tmp/", std::io::empty())?;
        tar.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), LINK.trim_start_matches('/'), PROGRAM)?;
    }
    for (path, mode, bytes) in files {
        let path = path.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            let folder = &path[..=at];
            if !folders.contains(&folder) {
                tar.append_data(&mut header(tar::EntryType::Directory, 0o755, 0), folder, std::io::empty())?;
                folders.push(folder);
            }
        }
        tar.append_data(&mut header(tar::EntryType::Regular, *mode, bytes.len()), path, bytes.as_slice())?;
    }
    tar.into_inner()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn image(name: &str) -> Image {
        let args = vec!["fixture".to_owned(), "pause".to_owned()];
        Image { name: name.to_owned(), args, env: BTreeMap::new(), file: None, run: None }
    }

    fn entries(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut tar = tar::Archive::new(archive);
        tar.entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                (path, bytes)
            })
            .collect()
    }

    #[test]
    fn an_archive_holds_each_image_by_name_and_every_digest_is_right() {
        let layer = Layer::of(None).unwrap();
        let packed = layer.archive(&[image("localhost/a:1"), image("localhost/b:1")]).unwrap();
        let named = digests(&packed);
        assert_eq!(named.keys().collect::<Vec<_>>(), ["localhost/a:1", "localhost/b:1"]);
        let archive = entries(&packed);
        let index: Value = serde_json::from_slice(&archive["index.json"]).unwrap();
        let manifests = index["manifests"].as_array().unwrap();
        let names: Vec<&Value> = manifests.iter().map(|m| &m["annotations"]["io.containerd.image.name"]).collect();
        assert_eq!(names, ["localhost/a:1", "localhost/b:1"]);
        for (path, bytes) in
            archive.iter().filter(|(path, bytes)| path.starts_with("blobs/sha256/") && !bytes.is_empty())
        {
            assert_eq!(path, &blob(&sha256_hex(bytes)));
        }
        let docker: Value = serde_json::from_slice(&archive["manifest.json"]).unwrap();
        assert!(archive.contains_key(docker[1]["Config"].as_str().unwrap()), "{docker}");
        assert!(archive.contains_key(docker[1]["Layers"][0].as_str().unwrap()), "{docker}");
    }

    #[test]
    fn the_layer_holds_the_program_with_its_loader_and_every_library_that_it_asks_for() {
        let layer = Layer::of(None).unwrap();
        let files = entries(&layer.tar);
        let program = &files["wi-conformance"];
        let needs = Needs::of(Path::new("x"), program).unwrap();
        assert!(files.contains_key(needs.interpreter.unwrap().trim_start_matches('/')));
        for library in needs.libraries {
            assert!(files.contains_key(&format!("lib/wi-conformance/{library}")), "{library}: {:?}", files.keys());
        }
        assert!(files.contains_key("tmp/") && files.contains_key("proxy"));
    }

    #[test]
    fn a_file_of_one_image_lies_in_a_layer_that_others_do_not_have() {
        let layer = Layer::of(None).unwrap();
        let with = Image { file: Some(("/etc/wi/ca.pem".to_owned(), b"pem".to_vec())), ..image("localhost/b:1") };
        let archive = entries(&layer.archive(&[image("localhost/a:1"), with]).unwrap());
        let docker: Value = serde_json::from_slice(&archive["manifest.json"]).unwrap();
        let layers = |index: usize| docker[index]["Layers"].as_array().unwrap();
        assert_eq!((layers(0).len(), layers(1).len()), (1, 2));
        assert_eq!(layers(0)[0], layers(1)[0]);
        let own = &archive[layers(1)[1].as_str().unwrap()];
        assert_eq!(entries(own)["etc/wi/ca.pem"], b"pem");
        let config: Value = serde_json::from_slice(&archive[docker[1]["Config"].as_str().unwrap()]).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][1], format!("sha256:{}", sha256_hex(own)));
    }

    #[test]
    fn the_same_program_gives_the_same_image() {
        assert_eq!(Layer::of(None).unwrap().tag(), Layer::of(None).unwrap().tag());
    }

    #[test]
    fn a_file_that_is_no_linux_program_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "#!/bin/sh").unwrap();
        let error = Layer::of(Some(file.path())).err().unwrap().to_string();
        assert!(error.contains("expected a 64-bit Linux executable") && error.contains("--image-program"), "{error}");
    }
}
