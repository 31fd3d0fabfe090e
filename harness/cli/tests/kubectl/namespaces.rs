//! What namespaces may hold, and what kinds are made of.

use libtest_mimic::Failed;

use super::{Kubectl, up};

const RANGE: &str = "\
apiVersion: v1
kind: LimitRange
metadata: { name: r, namespace: ranged }
spec:
  limits:
  - { type: Container, max: { memory: 1Gi }, min: { memory: 16Mi }, default: { memory: 64Mi }, defaultRequest: { memory: 32Mi } }
";

const GREEDY: &str = "\
apiVersion: v1
kind: Pod
metadata: { name: greedy, namespace: ranged }
spec:
  containers: [ { name: c, image: quickstart/pause, resources: { limits: { memory: 1536Mi } } } ]
";

const KIND: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: crontabs.stable.example.com }
spec:
  group: stable.example.com
  scope: Namespaced
  names: { plural: crontabs, singular: crontab, kind: CronTab }
  versions:
  - name: v1
    served: true
    storage: true
    schema: { openAPIV3Schema: { type: object, properties: { spec: { type: object, properties: { cronSpec: { type: string, description: When it runs. } } } } } }
";

pub(super) fn session() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let _up = up(folder.path(), &[])?;
    let kubectl = Kubectl { folder: folder.path().to_owned(), env: Vec::new() };
    let says = |args: &[&str], expected: &str| kubectl.says(args, None, expected);
    says(&["explain", "pod.spec.containers.env"], "valueFrom\t<EnvVarSource>")?;
    says(&["explain", "deployments", "--recursive"], "replicas\t<integer>")?;
    says(&["explain", "pod.spec.nosuch"], "field \"nosuch\" does not exist")?;
    kubectl.says(&["apply", "-f", "-"], Some(KIND), "crontabs.stable.example.com created")?;
    says(&["explain", "crontab.spec.cronSpec"], "When it runs.")?;
    quota(&kubectl)?;
    range(&kubectl)
}

fn quota(kubectl: &Kubectl) -> Result<(), Failed> {
    let says = |args: &[&str], expected: &str| kubectl.says(args, None, expected);
    kubectl.ends(&["create", "namespace", "limited"], None, 0)?;
    kubectl.ends(&["-n", "limited", "create", "quota", "q", "--hard=pods=1,count/configmaps=9"], None, 0)?;
    kubectl.ends(&["-n", "limited", "run", "one", "--image=quickstart/pause"], None, 0)?;
    let exceeded = "pods \"two\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
    says(&["-n", "limited", "run", "two", "--image=quickstart/pause"], exceeded)?;
    let used = "--for=jsonpath={.status.used.pods}=1";
    kubectl.ends(&["-n", "limited", "wait", used, "quota/q", "--timeout=10s"], None, 0)?;
    says(&["-n", "limited", "describe", "quota", "q"], "count/configmaps  1     9")?;
    // A Deployment is told why its pods are not made, and goes on once there is room.
    kubectl.ends(&["-n", "limited", "create", "deployment", "d", "--image=quickstart/pause"], None, 0)?;
    let refused = "--for=jsonpath={.status.conditions[?(@.type==\"ReplicaFailure\")].status}=True";
    kubectl.ends(&["-n", "limited", "wait", refused, "deployment/d", "--timeout=10s"], None, 0)?;
    kubectl.ends(&["-n", "limited", "create", "quota", "compute", "--hard=limits.memory=1Gi"], None, 0)?;
    kubectl.ends(&["-n", "limited", "delete", "pod", "one", "--grace-period=1"], None, 0)?;
    let silent = "failed quota: compute: must specify limits.memory for: two";
    says(&["-n", "limited", "run", "two", "--image=quickstart/pause"], silent)
}

fn range(kubectl: &Kubectl) -> Result<(), Failed> {
    kubectl.ends(&["create", "namespace", "ranged"], None, 0)?;
    kubectl.says(&["apply", "-f", "-"], Some(RANGE), "limitrange/r created")?;
    kubectl.ends(&["-n", "ranged", "run", "modest", "--image=quickstart/pause"], None, 0)?;
    let set = "LimitRanger plugin set: memory request for container modest; memory limit for container modest";
    kubectl.says(&["-n", "ranged", "describe", "pod", "modest"], None, set)?;
    let told = "pods \"greedy\" is forbidden: maximum memory usage per Container is 1Gi, but limit is 1536Mi";
    kubectl.says(&["apply", "-f", "-"], Some(GREEDY), told)
}
