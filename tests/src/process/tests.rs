use std::process::Command;
use std::time::Duration;

use super::*;
use crate::provider::MockProvider;

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[tokio::test]
async fn a_process_is_ready_at_its_line_and_gone_when_dropped() {
    let mut command =
        shell("echo starting; echo up at http://127.0.0.1:7, all fine; exec sleep 60");
    let process = Process::spawn("sleeper", &mut command, Ready::line("up at"))
        .await
        .unwrap();
    assert_eq!(process.ready_url().unwrap(), "http://127.0.0.1:7");
    assert!(process.output().unwrap().starts_with("starting\n"));
    assert!(process.peak_rss().unwrap() >= process.rss().unwrap());
    assert!(process.cpu_ticks().unwrap() < SOON && process.cpu().unwrap() < SOON);
    let proc = format!("/proc/{}", process.pid());
    assert!(Path::new(&proc).exists());
    drop(process);
    assert!(!Path::new(&proc).exists());
}

#[tokio::test]
async fn one_that_ends_before_it_is_ready_is_an_error_with_its_output() {
    let mut command = shell("echo no such file; exit 3");
    let spawned = Process::spawn("bad", &mut command, Ready::line("up"));
    let error = spawned.await.unwrap_err().to_string();
    assert!(
        error.contains("exit status: 3") && error.contains("no such file"),
        "{error}"
    );
}

#[tokio::test]
async fn health_over_http_is_a_condition() {
    let provider = MockProvider::start().unwrap();
    let health = Ready::Http(format!("http://{}/_health", provider.address()));
    Process::spawn("other", &mut shell("exec sleep 60"), health)
        .await
        .unwrap();
    let missing = Ready::Http(format!("http://{}/_nothing", provider.address()));
    let mut command = shell("exit 0");
    let spawned = Process::spawn("other", &mut command, missing);
    assert!(
        spawned
            .await
            .unwrap_err()
            .to_string()
            .contains("before it was ready")
    );
}

#[tokio::test]
async fn a_frozen_process_takes_no_signal_until_it_goes_on() {
    let mut command = shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done");
    let mut process = Process::spawn("loop", &mut command, Ready::line("up"))
        .await
        .unwrap();
    process.pause().unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
    while !state().contains(") T ") {
        tokio::time::sleep(POLL).await;
    }
    process.signal(Signal::TERM).unwrap();
    assert!(process.try_wait().unwrap().is_none());
    process.resume().unwrap();
    assert!(process.wait(SOON).await.unwrap().success());
    assert!(process.output().unwrap().ends_with("bye\n"));
}
