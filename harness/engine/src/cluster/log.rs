//! What containers printed, each line with the time that the container runtime gave it.

use std::time::Duration;

use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Resource as _;
use kube::api::{Api, LogParams};

use super::Cluster;

/// How much of a container's log is read.
const LONGEST_LOG: usize = 32 * 1024 * 1024;

/// Kubelets before 1.26 repeat the time within a line, in front of each piece of these many bytes
/// (<https://github.com/kubernetes/kubernetes/issues/77603>).
const PIECE: usize = 4096;

/// What a container printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// The lines without their times.
    pub(crate) text: String,
    /// The time of the first line. No other run of the container has it.
    pub(crate) begins: Option<jiff::Timestamp>,
    /// Whether there is more than was read.
    pub(crate) cut: bool,
}

impl Log {
    /// Takes the times off lines as a kubelet gives them. A line without one is left as it is.
    pub(crate) fn of(stamped: &[u8]) -> Self {
        let mut text = Vec::with_capacity(stamped.len());
        let mut begins = None;
        for (index, line) in stamped.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let Some((time, mut rest)) = stamp(line) else {
                text.extend(line);
                continue;
            };
            if index == 0 {
                begins = Some(time);
            }
            let mut at = PIECE;
            while at < rest.len() {
                match stamp(&rest[at..]) {
                    Some((again, after)) if again >= time => {
                        text.extend(&rest[..at]);
                        rest = after;
                        at = PIECE;
                    }
                    _ => at += PIECE,
                }
            }
            text.extend(rest);
        }
        Log { text: String::from_utf8_lossy(&text).into_owned(), begins, cut: stamped.len() >= LONGEST_LOG }
    }
}

/// A time and a blank at the beginning, and what comes after.
fn stamp(line: &[u8]) -> Option<(jiff::Timestamp, &[u8])> {
    // From `2026-01-01T00:00:00Z` to one with nanoseconds and an offset.
    const LENGTHS: std::ops::RangeInclusive<usize> = 20..=35;
    let end = line.iter().take(LENGTHS.end() + 1).position(|byte| *byte == b' ')?;
    let time = std::str::from_utf8(&line[..end]).ok().filter(|_| LENGTHS.contains(&end))?;
    Some((time.parse().ok()?, &line[end + 1..]))
}

impl Cluster {
    /// What a container printed so far, or in the run before; nothing while it has not started. No more is read than
    /// [`LONGEST_LOG`], and what is not text is shown as such.
    pub(crate) async fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
    ) -> Result<Option<Log>, kube::Error> {
        let params = LogParams {
            container: Some(container.to_owned()),
            previous,
            timestamps: true,
            limit_bytes: Some(i64::try_from(LONGEST_LOG).unwrap_or(i64::MAX)),
            ..LogParams::default()
        };
        let request = kube::core::Request::new(Pod::url_path(&(), Some(namespace)));
        let request = request.logs(pod, &params).map_err(kube::Error::BuildRequest)?;
        let answer = self.client.send(request.map(kube::client::Body::from)).await?;
        let status = answer.status();
        if matches!(status.as_u16(), 400 | 404) {
            return Ok(None);
        }
        let body = http_body_util::Limited::new(answer.into_body(), LONGEST_LOG + 1).collect().await;
        let bytes = body.map_err(kube::Error::Service)?.to_bytes();
        if !status.is_success() {
            let text = String::from_utf8_lossy(&bytes);
            return Err(kube::Error::Service(format!("the log of {container}: {status}: {}", text.trim()).into()));
        }
        Ok(Some(Log::of(&bytes)))
    }

    /// What a pod's only container printed, of the run before too; nothing where it cannot be had.
    pub(crate) async fn log_since(&self, namespace: &str, pod: &str, since: Option<Duration>) -> String {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let mut all = String::new();
        for previous in [true, false] {
            let params = LogParams {
                previous,
                since_seconds: since.and_then(|since| i64::try_from(since.as_secs() + 1).ok()),
                limit_bytes: Some(1 << 20),
                ..LogParams::default()
            };
            all.push_str(&api.logs(pod, &params).await.unwrap_or_default());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "2026-01-01T00:00:00.000000001Z";
    const LATER: &str = "2026-01-01T00:00:05.123456789Z";

    #[test]
    fn a_log_is_read_without_its_times_and_known_by_the_first() {
        let log =
            Log::of(format!("{FIRST} {{\"quickstart\":1}}\n{LATER} \n{LATER} {FIRST} said\nno time\n").as_bytes());
        assert_eq!(log.text, format!("{{\"quickstart\":1}}\n\n{FIRST} said\nno time\n"));
        assert_eq!(log.begins, FIRST.parse().ok());
        assert_eq!(Log::of(b""), Log::default());
        assert_eq!(Log::of(b"plain words\n").begins, None);
        let offset = Log::of(b"2026-01-01T02:00:00.000000001+02:00 a\n");
        assert_eq!((offset.text.as_str(), offset.begins), ("a\n", FIRST.parse().ok()));
    }

    #[test]
    fn times_that_an_old_kubelet_puts_into_long_lines_are_taken_off() {
        for piece in [4096, 16384] {
            let (a, b) = ("x".repeat(piece), "y".repeat(piece));
            let log = Log::of(format!("{FIRST} {a}{LATER} {b}{LATER} end\n{LATER} next\n").as_bytes());
            assert_eq!(log.text, format!("{a}{b}end\nnext\n"));
            let new = format!("{a}{b}end\n");
            assert_eq!(Log::of(format!("{FIRST} {new}").as_bytes()).text, new);
        }
    }
}
