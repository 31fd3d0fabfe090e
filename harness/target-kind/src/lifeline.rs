//! A connection that keeps an emulator alive: while it is open the emulator runs, and it ends with this process, whatever
//! ends that.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use wi_azure_emulator::LIFELINE_GREETING;
use wi_serve::wait;

/// Held as long as the emulator is wanted.
#[derive(Debug)]
pub(crate) struct Lifeline {
    _stream: TcpStream,
}

impl Lifeline {
    /// Takes hold of one; `None` when nobody greets within the bound.
    ///
    /// A port that an engine maps takes connections before the program behind it listens, and drops those it could not
    /// pass on, so only the greeting shows that this one reached the emulator.
    pub(crate) async fn hold(address: SocketAddr, bound: Duration) -> Option<Self> {
        wait::until(bound, || async {
            let greeted = tokio::time::timeout(bound, async {
                let mut stream = TcpStream::connect(address).await.ok()?;
                let mut greeting = [0; LIFELINE_GREETING.len()];
                stream.read_exact(&mut greeting).await.ok()?;
                (greeting == *LIFELINE_GREETING).then_some(stream)
            });
            greeted.await.ok().flatten()
        })
        .await
        .map(|stream| Lifeline { _stream: stream })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn a_connection_that_was_taken_and_dropped_is_no_hold_and_another_is_made() {
        let (mapped, address) = listener().await;
        let emulator = tokio::spawn(async move {
            // As a mapped port does while the program behind it does not listen yet.
            drop(mapped.accept().await.unwrap());
            drop(mapped.accept().await.unwrap());
            let (mut owner, _) = mapped.accept().await.unwrap();
            owner.write_all(LIFELINE_GREETING).await.unwrap();
            owner.read(&mut [0]).await.unwrap()
        });
        let held = Lifeline::hold(address, Duration::from_secs(10)).await.expect("the third connection is greeted");
        assert!(!emulator.is_finished(), "the emulator lives while it is held");
        drop(held);
        assert_eq!(emulator.await.unwrap(), 0, "it ends when it is let go");
    }

    #[tokio::test]
    async fn whoever_says_something_else_is_not_held() {
        let (mapped, address) = listener().await;
        let other = tokio::spawn(async move {
            while let Ok((mut peer, _)) = mapped.accept().await {
                let _ = peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        });
        assert!(Lifeline::hold(address, Duration::from_millis(200)).await.is_none());
        other.abort();
    }
}
