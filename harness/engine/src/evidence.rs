//! The evidence folder of a case. Everything written goes through the redactor.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use wi_model::evidence::PodEvidence;
use wi_model::record::Record;
use wi_model::redact::Redactor;

use crate::act::Pods;

/// Writes below one case's folder.
pub(crate) struct Folder<'a> {
    root: PathBuf,
    redactor: &'a Redactor,
    written: Vec<String>,
}

impl<'a> Folder<'a> {
    pub(crate) fn new(root: PathBuf, redactor: &'a Redactor) -> Self {
        Folder { root, redactor, written: Vec::new() }
    }

    /// A mark that the case has begun: one that dies leaves it without a record beside it.
    pub(crate) fn mark_start(root: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(root)?;
        std::fs::write(root.join("case.started"), jiff::Timestamp::now().to_string())
    }

    /// The objects of the given state, as sent and as stored.
    pub(crate) fn given(&mut self, objects: &[(Value, Value)]) -> std::io::Result<()> {
        for (index, (sent, stored)) in objects.iter().enumerate() {
            let text = |value: &Value| value.as_str().unwrap_or("object").to_owned();
            let name =
                format!("given/{:02}-{}-{}.json", index + 1, text(&sent["kind"]), text(&sent["metadata"]["name"]));
            self.json(&name, &serde_json::json!({ "sent": sent, "stored": stored }))?;
        }
        Ok(())
    }

    /// What was seen of the pods, a folder each; those of a workload lie in the workload's.
    pub(crate) fn pods(&mut self, pods: &Pods) -> std::io::Result<()> {
        for ((namespace, name), pod) in pods {
            let folder = format!("{namespace}.{name}");
            self.pod(&folder, pod)?;
            for replica in &pod.replicas {
                self.pod(&format!("{folder}/{}", replica.name()), replica)?;
            }
        }
        Ok(())
    }

    fn pod(&mut self, folder: &str, pod: &PodEvidence) -> std::io::Result<()> {
        let at = |file: &str| format!("{folder}/{file}");
        self.json(&at("sent.json"), &pod.sent)?;
        for (file, value) in [("stored.json", &pod.stored), ("latest.json", &pod.latest)] {
            if let Some(value) = value {
                self.json(&at(file), value)?;
            }
        }
        if let Some(refused) = &pod.refused {
            self.json(&at("refused.json"), refused)?;
        }
        let mut documents = Vec::new();
        for run in &pod.runs {
            // The newest run goes by the container's name alone.
            let newest = !pod.runs_of(&run.container).any(|other| other.restart > run.restart);
            let name = if newest { run.container.clone() } else { format!("{}.{}", run.container, run.restart) };
            if !pod.own {
                self.text(&at(&format!("logs/{name}.txt")), &run.log)?;
            }
            if let Some(token) = run.documents.iter().rfind(|document| document["event"] == "token") {
                let only = pod.runs.iter().filter(|run| !run.documents.is_empty()).count() == 1;
                self.json(&at(&if only { "token.json".to_owned() } else { format!("token.{name}.json") }), token)?;
            }
            documents.extend(run.documents.iter().map(|document| {
                let mut document = document.clone();
                document["container"] = run.container.as_str().into();
                document["restart"] = run.restart.into();
                document
            }));
        }
        self.list(&at("documents.jsonl"), &documents)?;
        self.list(&at("admission.jsonl"), &pod.admission)?;
        self.list(&at("exchanges.jsonl"), &pod.exchanges)?;
        if !pod.events.is_empty() {
            self.json(&at("events.json"), &pod.events)?;
        }
        Ok(())
    }

    /// The timeline and the record, last: the record names every file. The start mark is taken away.
    pub(crate) fn finish(mut self, record: &mut Record) -> std::io::Result<()> {
        let timeline: String =
            record.timeline.iter().map(|moment| format!("{:>8} ms  {}\n", moment.at_ms, moment.what)).collect();
        self.text("timeline.txt", &timeline)?;
        self.written.push("case.json".to_owned());
        record.artefacts = self.written.clone();
        *record = self.redacted(record)?;
        let value = serde_json::to_value(&*record)?;
        self.json("case.json", &value)?;
        std::fs::remove_file(self.root.join("case.started"))
    }

    /// A record may quote what a pod or a server said, so it is redacted like everything else.
    fn redacted(&self, record: &Record) -> std::io::Result<Record> {
        Ok(serde_json::from_value(self.redactor.json(&serde_json::to_value(record)?))?)
    }

    fn json(&mut self, name: &str, value: &impl Serialize) -> std::io::Result<()> {
        let value = self.redactor.json(&serde_json::to_value(value)?);
        self.put(name, &serde_json::to_string_pretty(&value)?)
    }

    fn list(&mut self, name: &str, values: &[Value]) -> std::io::Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let lines: String = values.iter().map(|value| format!("{}\n", self.redactor.json(value))).collect();
        self.put(name, &lines)
    }

    fn text(&mut self, name: &str, text: &str) -> std::io::Result<()> {
        let text = self.redactor.text(text);
        self.put(name, &text)
    }

    fn put(&mut self, name: &str, text: &str) -> std::io::Result<()> {
        let path = self.root.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, text)?;
        if !self.written.iter().any(|written| written == name) {
            self.written.push(name.to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wi_model::evidence::RunEvidence;
    use wi_model::secret::Secret;

    use super::*;

    #[test]
    fn a_canary_is_in_no_file_wherever_it_stood() {
        let folder = tempfile::tempdir().unwrap();
        let redactor = Redactor::new([Secret::new("canary-77")]);
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
        let says = serde_json::json!({ "event": "token", "a": "canary-77", "b": [token] });
        let pod = PodEvidence {
            sent: says.clone(),
            stored: Some(says.clone()),
            runs: vec![RunEvidence {
                container: "app".into(),
                documents: vec![says.clone()],
                log: format!("canary-77 {token}"),
                ..RunEvidence::default()
            }],
            admission: vec![says.clone()],
            exchanges: vec![says.clone()],
            ..PodEvidence::default()
        };
        let mut writer = Folder::new(folder.path().to_owned(), &redactor);
        writer.given(&[(says.clone(), says)]).unwrap();
        writer.pods(&[(("ns".to_owned(), "p".to_owned()), pod)].into()).unwrap();
        let files = walk(folder.path());
        assert!(files.len() >= 8, "{files:?}");
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(!text.contains("canary-77") && !text.contains("c2lnbmF0dXJl"), "{}: {text}", file.display());
        }
    }

    fn walk(folder: &Path) -> Vec<PathBuf> {
        let paths = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
        paths.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
    }
}
