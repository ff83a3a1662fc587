//! A mouse, a keyboard and eyes in a wlroots host, from the command line. All actions of one call are done by the same devices.
//! Never decides what to do: see `USAGE`.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use lab::{Hands, Image, watch};

const USAGE: &str = "usage: hands --socket PATH ACTION…
do:   click X Y | move X Y | wheel NOTCHES | type TEXT | key CHORD (as ctrl+a) | sh COMMAND
wait: wait SECONDS | settle SECONDS (at most, until the picture stays) | change SECONDS (at most, until it is not the settled one) | white X Y SECONDS
tell: note TEXT | shot FILE.png";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hands: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut words: impl Iterator<Item = String>) -> Result<(), String> {
    let (Some("--socket"), Some(socket)) = (words.next().as_deref(), words.next()) else {
        return Err(USAGE.into());
    };
    let socket = PathBuf::from(socket);
    let mut hands = Hands::connect(&socket).map_err(|error| error.to_string())?;
    let mut settled = None;
    while let Some(action) = words.next() {
        let mut word = || words.next().ok_or_else(|| format!("{action} lacks an argument\n{USAGE}"));
        match action.as_str() {
            "click" => hands.click(number(&word()?)?, number(&word()?)?),
            "move" => hands.move_to(number(&word()?)?, number(&word()?)?),
            "wheel" => hands.wheel(word()?.parse().map_err(|_| "wheel takes whole notches")?),
            "type" => hands.type_text(&word()?),
            "key" => hands.chord(&word()?)?,
            "sh" => shell(&word()?)?,
            "wait" => thread::sleep(seconds(&word()?)?),
            "settle" => settled = Some(watch::settled(seconds(&word()?)?, || Image::capture(&socket))?),
            "change" => {
                let before = settled.as_ref().ok_or("change needs a settle before it")?;
                watch::changed(before, seconds(&word()?)?, || Image::capture(&socket))?;
            }
            "white" => white(&socket, number(&word()?)? as u32, number(&word()?)? as u32, seconds(&word()?)?)?,
            "note" => println!("{}", word()?),
            "shot" => save(&socket, Path::new(&word()?))?,
            _ => return Err(format!("{action} is no action\n{USAGE}")),
        }
    }
    Ok(())
}

/// Waits until one pixel is white, as the page of an editor is.
fn white(socket: &Path, x: u32, y: u32, timeout: Duration) -> Result<(), String> {
    let began = Instant::now();
    while Image::capture(socket)?.pixel(x, y) != 0xFF_FFFF {
        if began.elapsed() > timeout {
            return Err(format!("the pixel at {x},{y} is not white after {} s", timeout.as_secs()));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn number(word: &str) -> Result<f64, String> {
    word.parse().map_err(|_| format!("`{word}` is no number"))
}

fn seconds(word: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number(word)?).map_err(|error| format!("`{word}` seconds: {error}"))
}

fn shell(command: &str) -> Result<(), String> {
    let status = Command::new("sh").args(["-c", command]).status().map_err(|error| format!("sh: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{command}`: {status}")) }
}

fn save(socket: &Path, file: &Path) -> Result<(), String> {
    Image::capture(socket)?.save(file).map_err(|error| format!("{}: {error}", file.display()))
}
