//! exec, attach, cp, port-forward and logs, as users look into a pod.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;

use libtest_mimic::Failed;

use super::{Kubectl, up};

/// The argument by which this program is a server in a pod.
pub(super) const ECHO: &str = "serve-echo";
const PORT: u16 = 8000;

/// Serves on the pod's loopback interface: what comes is sent back, and its number of bytes when nothing more comes.
pub(super) fn echo() -> ! {
    let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
    loop {
        let (mut stream, _) = listener.accept().unwrap();
        std::thread::spawn(move || {
            let mut heard = 0;
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut piece) {
                heard += read;
                stream.write_all(&piece[..read]).unwrap();
            }
            stream.write_all(format!("heard {heard}").as_bytes()).unwrap();
        });
    }
}

const READER: &str = "\
apiVersion: v1
kind: Pod
metadata: { name: reader }
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: quickstart/pause
    command: [ sh, -c, 'echo ready; while read line; do echo got:$line; done; echo over' ]
    stdin: true
    stdinOnce: true
";

/// The whole of it, with WebSockets or without.
pub(super) fn session(websockets: &'static str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let this = std::env::current_exe()?;
    let _up = up(folder.path(), &["--image", &format!("test/echo={}", this.display())])?;
    let env = vec![("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets), ("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)];
    let kubectl = Kubectl { folder: folder.path().to_owned(), env };
    kubectl.ends(&["run", "qs", "--image=quickstart/pause"], None, 0)?;
    kubectl.ends(&["run", "web", "--image=test/echo", "--", ECHO], None, 0)?;
    kubectl.ends(&["wait", "--for=condition=Ready", "pod/qs", "pod/web", "--timeout=30s"], None, 0)?;
    commands(&kubectl)?;
    copies(&kubectl, folder.path())?;
    attaches(&kubectl)?;
    forwards(&kubectl)?;
    logs(&kubectl)
}

fn expect(found: &str, expected: &str) -> Result<(), Failed> {
    if found.contains(expected) { Ok(()) } else { Err(format!("expected `{expected}` in: {found}").into()) }
}

fn commands(kubectl: &Kubectl) -> Result<(), Failed> {
    expect(&kubectl.ends(&["exec", "qs", "--", "env"], None, 0)?, "KUBERNETES_SERVICE_HOST=10.96.0.1")?;
    let script = "echo out; echo err >&2; exit 7";
    let ended = kubectl.run(&["exec", "qs", "--", "sh", "-c", script], None);
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(7), b"out\n".as_slice()));
    assert!(ended.stderr.starts_with(b"err\n"), "{}", String::from_utf8_lossy(&ended.stderr));
    let large = "0123456789abcdef".repeat(1 << 16);
    assert!(
        kubectl.ends(&["exec", "-i", "qs", "--", "cat"], Some(&large), 0)? == large,
        "stdin did not come back whole"
    );
    // Who reads nothing of what is sent ends all the same.
    kubectl.ends(&["exec", "-i", "qs", "--", "sh", "-c", "exit 3"], Some(&large), 3)?;
    let says = |args: &[&str], expected: &str| kubectl.says(args, None, expected);
    says(&["exec", "qs", "--", "nosuch"], "exec: \"nosuch\": executable file not found in $PATH")?;
    says(&["exec", "qs", "-c", "x", "--", "env"], "(BadRequest): container x is not valid for pod qs")?;
    says(&["exec", "none", "--", "env"], "Error from server (NotFound): pods \"none\" not found")?;
    says(
        &["debug", "qs", "--image=quickstart/pause"],
        "ephemeral containers are not run on this cluster; use `kubectl exec`",
    )?;
    // The container's own user, and not one that sees the node.
    expect(&kubectl.ends(&["exec", "qs", "--", "id", "-u"], None, 0)?, "65532")?;
    says(&["exec", "qs", "--", "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '"], "pause")?;
    kubectl.ends(&["create", "clusterrole", "looker", "--verb=get", "--resource=pods"], None, 0)?;
    let bind = ["create", "rolebinding", "looker", "--clusterrole=looker", "--serviceaccount=default:default"];
    kubectl.ends(&bind, None, 0)?;
    let looker = "--as=system:serviceaccount:default:default";
    says(
        &[looker, "exec", "qs", "--", "env"],
        "cannot create resource \"pods/exec\" in API group \"\" in the namespace",
    )
}

fn copies(kubectl: &Kubectl, folder: &Path) -> Result<(), Failed> {
    let bytes: Vec<u8> = (0..2_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(folder.join("there"), &bytes)?;
    kubectl.ends(&["cp", "there", "qs:/tmp/copied"], None, 0)?;
    kubectl.ends(&["cp", "qs:/tmp/copied", "back"], None, 0)?;
    assert!(std::fs::read(folder.join("back"))? == bytes, "what was copied there and back is not the same");
    Ok(())
}

fn attaches(kubectl: &Kubectl) -> Result<(), Failed> {
    kubectl.says(&["apply", "-f", "-"], Some(READER), "pod/reader created")?;
    kubectl.ends(&["wait", "--for=condition=Ready", "pod/reader", "--timeout=30s"], None, 0)?;
    expect(&kubectl.ends(&["attach", "-i", "reader"], Some("one\ntwo\n"), 0)?, "got:one\ngot:two\nover\n")?;
    kubectl.ends(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/reader", "--timeout=30s"], None, 0)?;
    let run = ["run", "once", "--rm", "-i", "--restart=Never", "--image=quickstart/pause", "--command", "--", "sh"];
    expect(&kubectl.ends(&run, Some("sleep 1; echo from $0; exit 4"), 4)?, "from sh")
}

fn forwards(kubectl: &Kubectl) -> Result<(), Failed> {
    let mut command = kubectl.command(&["port-forward", "pod/web", &format!(":{PORT}"), ":81"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    // `Forwarding from 127.0.0.1:PORT -> 8000`. It goes on printing, and must not find that nobody reads.
    let (found, ports) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let port = |line: &str| line.split("127.0.0.1:").nth(1)?.split(' ').next()?.parse::<u16>().ok();
        for port in lines.filter_map(|line| port(&line)) {
            // Once two are known, nobody waits for more.
            let _ = found.send(port);
        }
    });
    let ports: Vec<u16> = ports.iter().take(2).collect();
    let outcome = (|| -> Result<(), Failed> {
        for round in 0..3_usize {
            let mut stream = TcpStream::connect(("127.0.0.1", ports[0]))?;
            let sent = vec![b'x'; 100_000 + round];
            let reading = stream.try_clone()?;
            let heard = std::thread::spawn(move || {
                let mut heard = String::new();
                { reading }.read_to_string(&mut heard).map(|_| heard)
            });
            stream.write_all(&sent)?;
            stream.shutdown(std::net::Shutdown::Write)?;
            let heard = heard.join().map_err(|_| "the reader ended")??;
            assert!(heard.len() > sent.len() && heard.ends_with(&format!("heard {}", sent.len())), "{}", heard.len());
        }
        // It is closed, or reset.
        let mut nothing = Vec::new();
        let _ = TcpStream::connect(("127.0.0.1", ports[1]))?.read_to_end(&mut nothing);
        assert!(nothing.is_empty());
        Ok(())
    })();
    child.kill()?;
    let told = child.wait_with_output()?;
    outcome?;
    expect(&String::from_utf8_lossy(&told.stderr), "connect: connection refused")
}

const TALKER: &str = "i=0; while [ $i -lt 5 ]; do echo line $i; i=$((i+1)); done; sleep 1; echo last; exit 1";

fn logs(kubectl: &Kubectl) -> Result<(), Failed> {
    let run =
        ["run", "talker", "--image=quickstart/pause", "--restart=OnFailure", "--command", "--", "sh", "-c", TALKER];
    kubectl.ends(&run, None, 0)?;
    kubectl.ends(&["wait", "--for=condition=Ready", "pod/talker", "--timeout=30s"], None, 0)?;
    let followed = kubectl.ends(&["logs", "-f", "talker"], None, 0)?;
    assert!(followed.ends_with("line 4\nlast\n"), "{followed}");
    // It is started again at once the first time.
    let restarted = "--for=jsonpath={.status.containerStatuses[0].restartCount}=1";
    kubectl.ends(&["wait", restarted, "pod/talker", "--timeout=30s"], None, 0)?;
    assert_eq!(kubectl.ends(&["logs", "-p", "talker", "--tail=1"], None, 0)?, "last\n");
    let stamped = kubectl.ends(&["logs", "-p", "talker", "--tail=1", "--timestamps"], None, 0)?;
    assert!(stamped.len() > "2026-01-01T00:00:00Z last".len() && stamped.ends_with("Z last\n"), "{stamped}");
    assert_eq!(kubectl.ends(&["logs", "-p", "talker", "--since=1h", "--limit-bytes=6"], None, 0)?, "line 0");
    Ok(())
}
