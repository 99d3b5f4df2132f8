//! The operator's command line. What it does is in [`haremq::ctl`].

use std::process::ExitCode;

use haremq::ctl::{self, Console, Environment};

fn main() -> ExitCode {
    let argv: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut secret = ctl::read_secret;
    let mut console = Console::new(&mut out, &mut err, &mut secret);
    let exit = ctl::run(&argv, &Environment::of_process(), &mut console);
    ExitCode::from(exit.code())
}
