//! The real program in a real terminal: it draws, it answers keys, and it gives the terminal
//! back, however it ends.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

/// Far longer than anything here takes; only a hang runs into it.
const LIMIT: Duration = Duration::from_secs(30);

struct Terminal {
    screen: vt100::Parser,
    output: mpsc::Receiver<Vec<u8>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    /// The UI on an address where nobody listens.
    fn start(rows: u16, cols: u16, variables: &[(&str, &str)]) -> Self {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pty");
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_etcd-tui"));
        command.args(["connect", "--endpoints", "http://127.0.0.1:9"]);
        command.env("TERM", "xterm-256color");
        for (name, value) in variables {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("its output");
        let keys = pair.master.take_writer().expect("its input");
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = vt100::Parser::new(rows, cols, 0);
        Self { screen, output, keys, child, _master: pair.master }
    }

    /// Reads until the screen is as wanted.
    fn wait(&mut self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let begin = Instant::now();
        while !wanted(self.screen.screen()) {
            let left = LIMIT.checked_sub(begin.elapsed());
            let more = left.and_then(|left| self.output.recv_timeout(left).ok());
            match more {
                Some(bytes) => self.screen.process(&bytes),
                None => panic!("no {what} on the screen:\n{}", self.screen.screen().contents()),
            }
        }
    }

    fn shows(&mut self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the program reads");
    }

    /// The exit code; the terminal must be as it was before.
    fn ends(mut self) -> u32 {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                break status;
            }
            let over = begin.elapsed() > LIMIT;
            if over {
                let _ = self.child.kill();
            }
            assert!(!over, "it goes on:\n{}", self.screen.screen().contents());
            // Reading keeps the terminal's buffer from filling up.
            if let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(20)) {
                self.screen.process(&bytes);
            }
        };
        self.wait("restored terminal", |screen| {
            !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste()
        });
        status.exit_code()
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = self.child.process_id().expect("a pid");
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a small pid"));
        nix::sys::signal::kill(pid, signal).expect("it is there");
    }
}

#[test]
fn an_unreachable_cluster_is_said_and_the_ui_stays_alive() {
    let mut terminal = Terminal::start(30, 100, &[]);
    terminal.wait("alternate screen", vt100::Screen::alternate_screen);
    terminal.shows("127.0.0.1:9");
    terminal.press("?");
    terminal.shows("go back: close");
    terminal.press("\u{1b}");
    // Escape and a letter at once would be another key.
    terminal.wait("closed help", |screen| !screen.contents().contains("go back: close"));
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn sigterm_gives_the_terminal_back() {
    let mut terminal = Terminal::start(20, 60, &[("NO_COLOR", "1")]);
    terminal.shows("127.0.0.1:9");
    terminal.signal(nix::sys::signal::Signal::SIGTERM);
    terminal.ends();
}
