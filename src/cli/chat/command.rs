//! What a user types in a conversation.

use std::env;
use std::path::PathBuf;

/// One line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing but spaces.
    Nothing,
    /// Words for the model.
    Message(String),
    /// Something else.
    Command(Command),
}

/// What is asked of the program itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// List these.
    Help,
    /// Forget what was said.
    Reset,
    /// Another system message, or show the present one.
    System(Option<String>),
    /// Write the conversation to a file.
    Save(PathBuf),
    /// Go on with the conversation in a file.
    Load(PathBuf),
    /// Reasoning on or off, or show what it is.
    Think(Option<bool>),
    /// Figures.
    Stats,
    /// Another answer.
    Regen,
    /// Leave.
    Quit,
}

/// What `/help` says.
pub const HELP: &str = "\
/help           list these commands
/reset          forget what was said and begin a new conversation
/system [TEXT]  begin a new conversation with this system message; without TEXT, show the present one
/save FILE      write the conversation and its keys and values to a file
/load FILE      go on with the conversation in a file
/regen          answer your last message again, with other random numbers
/think [on|off] let the model reason before it answers, or not; alone, show what is set
/stats          show tokens, speed and memory
/quit           leave, as Ctrl-D does
A message that begins with / is written with //, and a \\ at the end of a line continues it on the next.
Ctrl-C stops an answer.";

impl Input {
    /// Understands a line.
    ///
    /// # Errors
    /// A sentence about a command that is none.
    pub fn parse(line: &str) -> Result<Self, String> {
        let line = line.trim();
        let Some(command) = line.strip_prefix('/') else {
            return Ok(if line.is_empty() { Input::Nothing } else { Input::Message(line.to_owned()) });
        };
        if command.starts_with('/') {
            return Ok(Input::Message(command.to_owned()));
        }
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        let alone = |command: Command| match rest {
            "" => Ok(Input::Command(command)),
            _ => Err(format!("/{name} takes nothing after it, but got '{rest}'")),
        };
        match name {
            "save" | "load" if rest.is_empty() => Err(format!("/{name} needs the name of a file")),
            "save" => Ok(Input::Command(Command::Save(path(rest)))),
            "load" => Ok(Input::Command(Command::Load(path(rest)))),
            "help" => alone(Command::Help),
            "reset" => alone(Command::Reset),
            "stats" => alone(Command::Stats),
            "regen" => alone(Command::Regen),
            "quit" => alone(Command::Quit),
            "system" => Ok(Input::Command(Command::System((!rest.is_empty()).then(|| rest.to_owned())))),
            "think" => match rest {
                "" => Ok(Input::Command(Command::Think(None))),
                "on" => Ok(Input::Command(Command::Think(Some(true)))),
                "off" => Ok(Input::Command(Command::Think(Some(false)))),
                _ => Err(format!("/think takes 'on' or 'off', but got '{rest}'")),
            },
            _ => Err(format!(
                "there is no command '/{name}'; /help lists them, and a message that begins with / is written with //"
            )),
        }
    }
}

/// A path as typed: `~` at its start is the home directory, as in a shell.
fn path(typed: &str) -> PathBuf {
    let home = || env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    match typed.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            home().map_or_else(|| typed.into(), |home| home.join(rest.trim_start_matches('/')))
        }
        _ => typed.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        let message = |text: &str| Ok(Input::Message(text.to_owned()));
        let command = |command| Ok(Input::Command(command));
        assert_eq!(Input::parse(" \t"), Ok(Input::Nothing));
        assert_eq!(Input::parse(" Why / how?\n"), message("Why / how?"));
        assert_eq!(Input::parse("//etc is a folder"), message("/etc is a folder"));
        assert_eq!(Input::parse("/quit "), command(Command::Quit));
        assert_eq!(Input::parse("/save  a b.session "), command(Command::Save("a b.session".into())));
        assert_eq!(Input::parse("/think off"), command(Command::Think(Some(false))));
        assert_eq!(Input::parse("/think"), command(Command::Think(None)));
        assert_eq!(Input::parse("/system"), command(Command::System(None)));
        assert_eq!(
            Input::parse("/system  Be brief. "),
            command(Command::System(Some("Be brief.".to_owned())))
        );
    }

    #[test]
    fn every_command_is_in_the_help_and_no_other() {
        for line in HELP.lines().filter(|line| line.starts_with('/')) {
            let name = line.split_whitespace().next().unwrap_or_default();
            let rest = if line.contains("FILE") { "a b.session" } else { "" };
            assert!(matches!(Input::parse(&format!("{name} {rest}")), Ok(Input::Command(_))), "{name}");
        }
        let wrong = Input::parse("/exit").unwrap_err();
        assert!(wrong.contains("no command '/exit'") && wrong.contains("/help"), "{wrong}");
        assert!(Input::parse("/load").unwrap_err().contains("name of a file"));
        let wrong = Input::parse("/think hard").unwrap_err();
        assert!(wrong.contains("'on' or 'off'") && wrong.contains("'hard'"), "{wrong}");
        let wrong = Input::parse("/regen it").unwrap_err();
        assert!(wrong.contains("/regen takes nothing") && wrong.contains("'it'"), "{wrong}");
    }
}
