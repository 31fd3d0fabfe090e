//! Nothing is removed from a Docker engine that is not ours: an adversary creates, replaces or takes over what a run makes, at
//! each step between the line in the list and the removal, and the run goes on or is ended by `kill -9` and swept. Theirs
//! stays, and ours goes. What runs is another process of this test, which does what a run does, step by step.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bollard::Docker as Engine;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListVolumesOptions, RemoveContainerOptionsBuilder, TagImageOptionsBuilder,
};

use wi_images::archive::{Image, Layer};

use super::docker::{Docker, RUN_LABEL};
use super::holdings::{self, Held, Holdings};
use super::kind::CLUSTER_LABEL;

const RUN: &str = "run-of-the-adversary";

/// A kind of thing that a run makes in a Docker engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    Container,
    Image,
    Network,
    /// The node of a kind cluster, with the volume that kind gives it.
    Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Nothing,
    Creates,
    Replaces,
    TakesOver,
    /// Replaces it by one with our very marks.
    Forges,
}

/// Where the run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// It is in the list, and the engine has not heard of it.
    Written,
    /// The engine has made it, and the list does not say so.
    Unheard,
    /// The list says so, and its removal begins.
    Removal,
}

const TABLE: [(At, Does, bool); 13] = [
    (At::Written, Does::Creates, false),
    (At::Written, Does::Creates, true),
    (At::Written, Does::Nothing, true),
    (At::Unheard, Does::Nothing, true),
    (At::Unheard, Does::Replaces, true),
    (At::Unheard, Does::TakesOver, true),
    (At::Removal, Does::Nothing, false),
    (At::Removal, Does::Nothing, true),
    (At::Removal, Does::Replaces, false),
    (At::Removal, Does::Replaces, true),
    (At::Removal, Does::TakesOver, true),
    (At::Removal, Does::Forges, false),
    (At::Removal, Does::Forges, true),
];

fn engine() -> Engine {
    Engine::connect_with_defaults().unwrap()
}

/// The head of a program that needs no library and is never run.
fn empty_program() -> Vec<u8> {
    let machine = if cfg!(target_arch = "aarch64") { 0xb7 } else { 0x3e };
    let mut head = vec![0; 64];
    head[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    (head[16], head[18], head[20], head[52], head[54], head[58]) = (2, machine, 1, 64, 56, 64);
    head
}

/// An image of nothing but a file, with the mark of a run or without.
fn archive(name: &str, run: Option<&str>, salt: &str) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), empty_program()).unwrap();
    let layer = Layer::of(Some(file.path())).unwrap();
    let image = Image {
        name: name.to_owned(),
        args: vec![salt.to_owned()],
        env: [].into(),
        file: None,
        run: run.map(str::to_owned),
    };
    layer.archive(&[image]).unwrap()
}

/// One thing by its name, as the adversary meets it in the engine.
struct Meets<'a> {
    engine: &'a Engine,
    docker: &'a Docker,
    thing: Thing,
    name: &'a str,
    base: &'a str,
    mark: &'a Path,
}

impl Meets<'_> {
    fn body(&self, labels: HashMap<String, String>, marked: bool) -> ContainerCreateBody {
        let mount = Mount {
            target: Some("/var/lib/wi-conformance".into()),
            source: Some(self.mark.display().to_string()),
            typ: Some(MountType::BIND),
            read_only: Some(true),
            ..Mount::default()
        };
        // kind gives each node a volume of its own for /var.
        let volume = Mount { target: Some("/var".into()), typ: Some(MountType::VOLUME), ..Mount::default() };
        let node = self.thing == Thing::Node;
        let mounts = (marked && node).then_some(mount).into_iter().chain(node.then_some(volume)).collect();
        ContainerCreateBody {
            image: Some(self.base.to_owned()),
            labels: Some(labels),
            host_config: Some(HostConfig { mounts: Some(mounts), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        }
    }

    /// Makes one as a run does where `ours`, and else as somebody without our marks; its id. `None` where the name is taken.
    async fn make(&self, ours: bool) -> Option<String> {
        match self.thing {
            Thing::Container | Thing::Node => {
                let mut labels = HashMap::new();
                if ours && self.thing == Thing::Container {
                    labels.insert(RUN_LABEL.to_owned(), RUN.to_owned());
                }
                if self.thing == Thing::Node {
                    labels.insert(CLUSTER_LABEL.to_owned(), self.name.to_owned());
                }
                let options = CreateContainerOptionsBuilder::default().name(self.name).build();
                let made = self.engine.create_container(Some(options), self.body(labels, ours)).await;
                made.ok().map(|made| made.id)
            }
            Thing::Image => {
                if ours && self.docker.has_image(self.name).await.unwrap() {
                    return None;
                }
                self.docker.load(archive(self.name, ours.then_some(RUN), if ours { "a" } else { "b" })).await.unwrap();
                self.id().await
            }
            Thing::Network => {
                let wanted = NetworkCreateRequest { name: self.name.to_owned(), ..NetworkCreateRequest::default() };
                self.docker.network(self.name).await.unwrap().is_none().then_some(())?;
                Some(self.engine.create_network(wanted).await.unwrap().id)
            }
        }
    }

    /// What the engine calls what is there by the name.
    async fn id(&self) -> Option<String> {
        match self.thing {
            Thing::Container | Thing::Node => self.docker.container(self.name).await.unwrap().map(|found| found.id),
            Thing::Image => self.docker.image(self.name).await.unwrap().map(|found| found.id),
            Thing::Network => self.docker.network(self.name).await.unwrap().map(|found| found.id),
        }
    }

    async fn remove(&self) {
        match self.thing {
            Thing::Container | Thing::Node => {
                let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                let _ = self.engine.remove_container(self.name, Some(options)).await;
            }
            Thing::Image => self.docker.remove_image(self.name).await.unwrap(),
            Thing::Network => {
                let _ = self
                    .engine
                    .remove_container(&self.guest(), None::<bollard::query_parameters::RemoveContainerOptions>)
                    .await;
                let _ = self.engine.remove_network(self.name).await;
            }
        }
    }

    /// The name of a container of somebody else's on the network.
    fn guest(&self) -> String {
        format!("{}-guest", self.name)
    }

    /// What the adversary does; the id of what is theirs then.
    async fn play(&self, does: Does) -> Option<String> {
        match does {
            Does::Nothing => None,
            Does::Creates => self.make(false).await,
            Does::Replaces => {
                self.remove().await;
                self.make(false).await
            }
            Does::Forges => {
                self.remove().await;
                match self.thing {
                    Thing::Image => {
                        self.docker.load(archive(self.name, Some(RUN), "c")).await.unwrap();
                        self.id().await
                    }
                    Thing::Container | Thing::Node | Thing::Network => self.make(true).await,
                }
            }
            Does::TakesOver => match self.thing {
                // Labels of a container never change, and its name says nothing.
                Thing::Container | Thing::Node => None,
                Thing::Image => {
                    // Their own tag on our image: ours alone goes.
                    let tag = TagImageOptionsBuilder::default().repo("theirs").tag("latest").build();
                    self.engine.tag_image(self.name, Some(tag)).await.unwrap();
                    None
                }
                Thing::Network => {
                    let options = CreateContainerOptionsBuilder::default().name(&self.guest()).build();
                    let mut body = self.body(HashMap::new(), false);
                    body.host_config.as_mut().unwrap().network_mode = Some(self.name.to_owned());
                    body.cmd = Some(vec!["wait".to_owned()]);
                    self.engine.create_container(Some(options), body).await.unwrap();
                    self.id().await
                }
            },
        }
    }
}

/// A run in another process.
struct Other {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Other {
    fn start(thing: Thing, folder: &Path, name: &str, base: &str) -> Self {
        let test = "adversary::a_run_step_by_step";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // What it is to make, and where.
        writeln!(child.stdin.as_mut().unwrap(), "{thing:?}|{}|{name}|{base}", folder.display()).unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Other { child, lines }
    }

    /// Lets it go on until it stands there.
    fn go_to(&mut self, at: &str) {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if line == at {
                return;
            }
            if line.starts_with("at ") {
                self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
            }
        }
        panic!("the run never came to {at}");
    }

    fn go_on(&mut self) {
        let _ = self.child.stdin.as_mut().unwrap().write_all(b"go\ngo\ngo\ngo\n");
        self.lines.by_ref().for_each(drop);
        assert!(self.child.wait().unwrap().success());
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Says where the run stands, and waits until it may go on.
fn stand(at: At) {
    println!("\nat {at:?}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

#[tokio::test]
#[ignore = "the run that the table of this file starts in a process of its own, and kills"]
async fn a_run_step_by_step() {
    let mut play = String::new();
    std::io::stdin().read_line(&mut play).unwrap();
    let parts: Vec<&str> = play.trim_end().split('|').collect();
    let [thing, folder, name, base] = parts.as_slice() else { panic!("{play}") };
    let things = [Thing::Container, Thing::Image, Thing::Network, Thing::Node];
    let thing = things.into_iter().find(|known| format!("{known:?}") == *thing).unwrap();
    let (folder, name) = (Path::new(folder), (*name).to_owned());
    let (engine, docker) = (engine(), Docker::connect().await.unwrap());
    let mark = folder.join("mark");
    let meets = Meets { engine: &engine, docker: &docker, thing, name: &name, base, mark: &mark };
    let mut holdings = Holdings::open(folder, RUN).unwrap();
    let held = match thing {
        Thing::Container => Held::Container { name: name.clone() },
        Thing::Image => Held::Image { name: name.clone() },
        Thing::Network => Held::Network { name: name.clone() },
        Thing::Node => Held::Cluster { name: name.clone(), mark: Some(mark.clone()) },
    };
    let number = holdings.take(held).unwrap();
    stand(At::Written);
    let made = meets.make(true).await;
    stand(At::Unheard);
    match made {
        Some(id) => holdings.made(number, [id]).unwrap(),
        None => holdings.forget(number).unwrap(),
    }
    stand(At::Removal);
    holdings.release().await;
}

/// Plays one row, and says what is wrong with how it came out.
async fn row(engine: &Engine, docker: &Docker, base: &str, thing: Thing, row: (At, Does, bool)) -> Vec<String> {
    let (at, does, kills) = row;
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    std::fs::create_dir(&mark).unwrap();
    let name = match thing {
        Thing::Image => "wi-conformance-adversary/thing:latest".to_owned(),
        _ => "wi-conformance-adversary".to_owned(),
    };
    let meets = Meets { engine, docker, thing, name: &name, base, mark: &mark };
    let mut run = Other::start(thing, folder.path(), &name, base);
    run.go_to(&format!("at {at:?}"));
    let ours = meets.id().await;
    let theirs = meets.play(does).await;
    let told = if kills {
        run.kill();
        let held = holdings::remains(folder.path()).unwrap();
        holdings::release(held, folder.path(), &mut |_| {}).await
    } else {
        run.go_on();
        Vec::new()
    };
    let mut wrong = Vec::new();
    let found = meets.id().await;
    let what = format!("{thing:?}, {at:?}, {does:?}, killed {kills}");
    if theirs.is_some() && found != theirs {
        wrong.push(format!("{what}: theirs is gone: {told:?}"));
    }
    // A network that kind made and that nobody heard of carries no mark: it is left and reported.
    let unproven = thing == Thing::Network && at == At::Unheard && does == Does::Nothing;
    if ours.is_some() && theirs.is_none() && found.is_some() && !unproven {
        wrong.push(format!("{what}: ours is still there: {told:?}"));
    }
    if unproven && !told.iter().any(|left| matches!(left.why, wi_engine::Kept::Unproven { .. })) {
        wrong.push(format!("{what}: it is not told why it was left: {told:?}"));
    }
    if thing == Thing::Image && does == Does::TakesOver && !docker.has_image("theirs:latest").await.unwrap() {
        wrong.push(format!("{what}: their name for it is gone"));
    }
    meets.remove().await;
    docker.remove_image("theirs:latest").await.unwrap();
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Docker engine; CI's kind lane runs it: cargo test -p wi-target-kind -- --ignored adversary::what"]
async fn what_somebody_else_makes_in_docker_stays_and_what_we_made_goes() {
    let (engine, docker) = (engine(), Docker::connect().await.unwrap());
    let base = "wi-conformance-adversary/base:latest";
    docker.load(archive(base, None, "wait")).await.unwrap();
    let volumes =
        async || engine.list_volumes(None::<ListVolumesOptions>).await.unwrap().volumes.unwrap_or_default().len();
    let before = volumes().await;
    let mut wrong = Vec::new();
    for thing in [Thing::Container, Thing::Image, Thing::Network, Thing::Node] {
        for one in TABLE {
            // kind makes its network where there is none, and does not say whether it did.
            if thing == Thing::Network && one.0 == At::Written && one.1 == Does::Creates {
                continue;
            }
            wrong.extend(row(&engine, &docker, base, thing, one).await);
        }
    }
    docker.remove_image(base).await.unwrap();
    assert!(wrong.is_empty(), "{} rows went wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(volumes().await, before, "the volume of a node goes with it");
}
