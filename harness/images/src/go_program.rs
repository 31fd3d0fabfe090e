//! What a Go program tells of itself in its file: its modules, and how it was built.

use std::path::Path;

use object::{Object as _, ObjectSection as _};
use wi_model::product::{Product, UPSTREAM};

/// The start of the section that Go's linker writes.
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Where the strings begin.
const HEADER: usize = 32;
/// The strings are in the section itself since Go 1.18.
const INLINE: u8 = 2;
/// Go puts marks of this length around the list of modules.
const MARK: usize = 16;
/// The upstream project's module, and the variable that its releases put the version into.
const MODULE: &str = "github.com/Azure/azure-workload-identity";
const VERSION: &str = "/pkg/version.BuildVersion=";
/// A program that is larger is not looked into.
const LARGEST: u64 = 1 << 30;

/// The product that a program's file tells, where it is upstream's webhook.
pub fn product(path: &Path) -> Option<Product> {
    if path.metadata().ok()?.len() > LARGEST {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    let section = file.section_by_name(".go.buildinfo")?;
    of_build_info(&build_info(section.data().ok()?)?)
}

/// The list of modules and settings.
fn build_info(section: &[u8]) -> Option<String> {
    let at = section.windows(MAGIC.len()).position(|window| window == MAGIC)?;
    let section = &section[at..];
    if section.get(15)? & INLINE == 0 {
        return None;
    }
    let (_, rest) = string(section.get(HEADER..)?)?;
    let (modules, _) = string(rest)?;
    let inside = modules.get(MARK..modules.len().checked_sub(MARK)?)?;
    Some(String::from_utf8_lossy(inside).into_owned())
}

/// A string behind its length, and what follows.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut length, mut used) = (0_usize, 0);
    for (index, byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        used = index + 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let rest = bytes.get(used..)?;
    Some((rest.get(..length)?, rest.get(length..)?))
}

fn of_build_info(info: &str) -> Option<Product> {
    let names_module = |line: &str| {
        let mut words = line.split('\t');
        matches!(words.next(), Some("path" | "mod" | "dep"))
            && words.next().is_some_and(|path| path == MODULE || path.starts_with(&format!("{MODULE}/")))
    };
    if !info.lines().any(names_module) {
        return None;
    }
    let (_, rest) = info.split_once(VERSION)?;
    let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == '\'').unwrap_or(rest.len());
    Product::new(UPSTREAM, &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(modules: &str) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        bytes.extend(MAGIC);
        bytes.extend([8, INLINE]);
        bytes.resize(16 + HEADER, 0);
        let mut push = |text: &[u8]| {
            let mut length = text.len();
            while length >= 0x80 {
                bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                length >>= 7;
            }
            bytes.push(u8::try_from(length).unwrap());
            bytes.extend(text);
        };
        push(b"go1.26.4");
        push(format!("{}{modules}{}", "m".repeat(MARK), "m".repeat(MARK)).as_bytes());
        bytes
    }

    fn shown(modules: &str) -> Option<String> {
        of_build_info(&build_info(&section(modules)).unwrap()).map(|product| product.to_string())
    }

    #[test]
    fn upstreams_version_is_read_from_how_the_program_was_built_and_no_other_products() {
        let flags = "build\t-ldflags=\"-X github.com/Azure/azure-workload-identity/pkg/version.BuildVersion=v1.6.0 -X a.b=c\"\n";
        let of = |modules: &str| shown(&format!("{modules}{flags}{}", "dep\texample.com/x\tv1\n".repeat(20)));
        let expected = Some("azure-workload-identity 1.6.0".to_owned());
        assert_eq!(of("path\tgithub.com/Azure/azure-workload-identity/cmd/webhook\n"), expected);
        assert_eq!(
            of("path\tcommand-line-arguments\ndep\tgithub.com/Azure/azure-workload-identity\t(devel)\n"),
            expected
        );
        assert_eq!(of("path\tgithub.com/Azure/azure-workload-identity-fork/cmd\n"), None);
        assert_eq!(shown("path\tgithub.com/Azure/azure-workload-identity/cmd/webhook\n"), None);
    }

    #[test]
    fn what_is_no_build_info_is_unknown() {
        for bytes in [&b""[..], b"\xff Go buildinf:", &[0xff; 64], &section("")[..40]] {
            assert!(build_info(bytes).and_then(|info| of_build_info(&info)).is_none());
        }
        assert_eq!(product(Path::new("/proc/self/exe")), None);
    }
}
