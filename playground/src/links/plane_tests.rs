//! The proxies with real sockets: what passes, what is held, what ends, and who is refused.

use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::*;

/// Only a failure waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// What does not come in this time is held. Too short a time could only hide a failure.
const HELD: Duration = Duration::from_millis(200);

/// Nodes a and b: two listeners behind two proxies.
struct Rig {
    plane: Plane,
    b: TcpListener,
    b_port: u16,
}

impl Rig {
    async fn new() -> Self {
        let plane = Plane::start().unwrap();
        let b = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let b_port = b.local_addr().unwrap().port();
        plane.open("a", 1, 0).unwrap();
        plane.open("b", b_port, 0).unwrap();
        Self { plane, b, b_port }
    }

    /// What a says to its proxy.
    async fn ask(&self, text: &str) -> TcpStream {
        let port = self.plane.proxy_port("a").unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// The two ends of a tunnel from a to b.
    async fn tunnel(&self) -> (TcpStream, TcpStream) {
        let mut near = self.ask(&format!("CONNECT 0.0.0.0:{} HTTP/1.1\r\n\r\n", self.b_port)).await;
        let far = timeout(PATIENCE, self.b.accept()).await.unwrap().unwrap().0;
        let answer = read_until(&mut near, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        (near, far)
    }

    fn set(&self, from: &str, to: &str, fault: &str) {
        self.plane.set([(from, to)], fault.parse().unwrap());
    }
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let byte = timeout(PATIENCE, stream.read_u8()).await.unwrap();
        let Ok(byte) = byte else { return text };
        text.push(char::from(byte));
    }
    text
}

async fn is_held(stream: &mut TcpStream) -> bool {
    timeout(HELD, stream.read_u8()).await.is_err()
}

async fn is_reset(stream: &mut TcpStream) -> bool {
    let read = timeout(PATIENCE, stream.read(&mut [0; 64])).await.unwrap();
    read.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn no_byte_is_lost_or_moved_whatever_happens_to_the_link() {
    const SIZE: usize = 3 << 20;
    let rig = Rig::new().await;
    let (near, far) = rig.tunnel().await;
    let send = |mut half: tokio::net::tcp::OwnedWriteHalf, seed: u64| async move {
        let mut data = vec![0; SIZE];
        StdRng::seed_from_u64(seed).fill_bytes(&mut data);
        for piece in data.chunks(10_007) {
            half.write_all(piece).await.unwrap();
        }
        half.shutdown().await.unwrap();
        data
    };
    let take = |mut half: tokio::net::tcp::OwnedReadHalf| async move {
        let mut data = Vec::new();
        half.read_to_end(&mut data).await.unwrap();
        data
    };
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let tasks = [
        (tokio::spawn(send(near_write, 1)), tokio::spawn(take(far_read))),
        (tokio::spawn(send(far_write, 2)), tokio::spawn(take(near_read))),
    ];
    let mut random = StdRng::seed_from_u64(3);
    let faults =
        ["freeze", "ok", "delay 3±3", "rate 4000", "flap 2/3", "ok", "rate 0.001", "delay 20"];
    for _ in 0..60 {
        let (from, to) = if random.random() { ("a", "b") } else { ("b", "a") };
        rig.set(from, to, faults[random.random_range(0..faults.len())]);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
    }
    rig.plane.heal();
    for (sent, got) in tasks {
        let sent = timeout(PATIENCE, sent).await.unwrap().unwrap();
        assert!(sent == timeout(PATIENCE, got).await.unwrap().unwrap(), "other bytes came out");
    }
}

#[tokio::test]
async fn a_freeze_holds_one_direction_and_reaches_back_to_the_sender() {
    let rig = Rig::new().await;
    let (mut near, mut far) = rig.tunnel().await;
    rig.set("a", "b", "freeze");
    near.write_all(b"x").await.unwrap();
    assert!(is_held(&mut far).await);
    far.write_all(b"y").await.unwrap();
    assert_eq!(timeout(PATIENCE, near.read_u8()).await.unwrap().unwrap(), b'y');
    // Far more than the proxy and the kernel would take.
    let flood = vec![0; 64 << 20];
    assert!(timeout(Duration::from_secs(1), near.write_all(&flood)).await.is_err());
    rig.set("a", "b", "ok");
    assert_eq!(timeout(PATIENCE, far.read_u8()).await.unwrap().unwrap(), b'x');
}

#[tokio::test]
async fn a_new_connection_waits_while_both_directions_are_cut() {
    let rig = Rig::new().await;
    rig.set("a", "b", "freeze");
    let (near, far) = rig.tunnel().await;
    drop((near, far));
    rig.set("b", "a", "freeze");
    let connect = format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", rig.b_port);
    let mut near = rig.ask(&connect).await;
    assert!(is_held(&mut near).await);
    rig.plane.heal();
    assert!(read_until(&mut near, "\r\n\r\n").await.contains(" 200 "));
}

#[tokio::test]
async fn a_reset_ends_what_is_there_and_refuses_what_comes() {
    let rig = Rig::new().await;
    let (mut near, mut far) = rig.tunnel().await;
    rig.set("b", "a", "reset");
    assert!(is_reset(&mut near).await);
    assert!(is_reset(&mut far).await);
    let connect = format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", rig.b_port);
    assert!(is_reset(&mut rig.ask(&connect).await).await);
    rig.plane.heal();
    rig.tunnel().await;
}

#[tokio::test]
async fn a_fetch_begins_across_a_one_way_cut_and_its_answer_is_held() {
    let rig = Rig::new().await;
    let get = format!("GET http://0.0.0.0:{}/raft/stream HTTP/1.1\r\nA: b\r\n\r\n", rig.b_port);
    // The messages are in the answer, from b to a: cut the other way, all of it works.
    rig.set("a", "b", "freeze");
    let mut near = rig.ask(&get).await;
    let mut far = timeout(PATIENCE, rig.b.accept()).await.unwrap().unwrap().0;
    let head = read_until(&mut far, "\r\n\r\n").await;
    assert_eq!(head, "GET /raft/stream HTTP/1.1\r\nA: b\r\nConnection: close\r\n\r\n");
    far.write_all(b"HTTP/1.1 200 OK\r\n\r\nmessage").await.unwrap();
    let answer = read_until(&mut near, "message").await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nmessage");
    // Cut this way, the answer begins and says nothing.
    rig.plane.heal();
    rig.set("b", "a", "freeze");
    let mut near = rig.ask(&get).await;
    let mut far = timeout(PATIENCE, rig.b.accept()).await.unwrap().unwrap().0;
    read_until(&mut far, "\r\n\r\n").await;
    far.write_all(b"HTTP/1.1 200 OK\r\n\r\nmessage").await.unwrap();
    read_until(&mut near, "\r\n\r\n").await;
    assert!(is_held(&mut near).await);
    // What one node posts to the other is a message from its first byte.
    rig.plane.heal();
    rig.set("a", "b", "freeze");
    let post = format!("POST http://0.0.0.0:{}/raft HTTP/1.1\r\n\r\n", rig.b_port);
    let _near = rig.ask(&post).await;
    let mut far = timeout(PATIENCE, rig.b.accept()).await.unwrap().unwrap().0;
    assert!(is_held(&mut far).await);
}

#[tokio::test]
async fn only_members_are_reached_and_nonsense_is_answered() {
    let rig = Rig::new().await;
    let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = outside.local_addr().unwrap().port();
    let long = "x".repeat(100_000);
    for (text, status) in [
        (format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n"), "502"),
        (format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n"), "502"),
        ("CONNECT 0.0.0.0:1 HTTP/1.1\r\n\r\n".to_owned(), "502"),
        ("CONNECT example.com:443 HTTP/1.1\r\n\r\n".to_owned(), "502"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (long, "431"),
    ] {
        let mut near = rig.ask(&text).await;
        let answer = read_until(&mut near, "\r\n").await;
        // What was not read may turn the answer into a reset.
        assert!(answer.is_empty() || answer.contains(status), "{answer}");
    }
    let Rig { plane, b, b_port } = rig;
    drop(b);
    let port = plane.proxy_port("a").unwrap();
    let mut near = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connect = format!("CONNECT 127.0.0.1:{b_port} HTTP/1.1\r\n\r\n");
    near.write_all(connect.as_bytes()).await.unwrap();
    assert!(read_until(&mut near, "\r\n").await.contains("502"));
}

#[tokio::test]
async fn counts_and_connections_are_shown_for_each_direction() {
    let rig = Rig::new().await;
    let (mut near, mut far) = rig.tunnel().await;
    assert!(!rig.plane.has_seen("a", "b"));
    near.write_all(b"hello").await.unwrap();
    far.read_exact(&mut [0; 5]).await.unwrap();
    // Counted behind the write, on the proxies' own thread.
    let counted = async {
        while !rig.plane.has_seen("a", "b") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), counted).await.unwrap();
    assert!(!rig.plane.has_seen("b", "a"));
    let views = rig.plane.views();
    assert!(views.iter().all(|view| view.connections == 1 && view.fault == LinkFault::Ok));
    assert_eq!(views.len(), 2);
    drop((near, far));
    rig.plane.close("b");
    assert!(rig.plane.views().is_empty());
}
