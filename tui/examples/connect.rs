//! Opens the UI on running members: `cargo run -p tui --example connect -- URL[,URL…]`.
//!
//! `--write` allows changes, `--snapshot 120x36 keys` prints one frame instead.

use tui::{Session, run, snapshot};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), tui::TuiError> {
    let mut session = Session { read_only: true, title: "remote".into(), ..Session::default() };
    session.no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let mut frame = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--write" => session.read_only = false,
            "--theme" => session.theme = arguments.next(),
            "--snapshot" => {
                let size = arguments.next().unwrap_or_default();
                let (width, height) = size.split_once('x').unwrap_or(("120", "36"));
                let screen = arguments.next().unwrap_or_else(|| "cluster".to_owned());
                frame = Some((width.parse().unwrap_or(120), height.parse().unwrap_or(36), screen));
            }
            list => session.endpoints.extend(list.split(',').map(str::to_owned)),
        }
    }
    match frame {
        Some((width, height, screen)) => {
            print!("{}", snapshot(session, width, height, &screen).await?)
        }
        None => println!("{:?}", run(session).await?),
    }
    Ok(())
}
