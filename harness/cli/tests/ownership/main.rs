//! Nothing is deleted that is not ours: an adversary creates, replaces or takes over what a run makes, at each step between
//! the line in the ledger and the deletion, and the run goes on or is killed and swept. Theirs stays, and ours goes.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod existing;
mod gate;
mod kind;
mod things;
mod world;

use std::process::Output;

use gate::{Gate, Held, Side};
use things::{Target, Thing, pattern};
use tokio::sync::mpsc::UnboundedReceiver;
use world::{PATIENCE, World};

/// What the adversary does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Nothing,
    Creates,
    Replaces,
    TakesOver,
    /// Replaces it by one that carries our very marks.
    Forges,
}

/// Before what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// It is in the ledger, and the server has not heard of it.
    Creation,
    /// The server has answered the creation, and we have not heard it.
    Answer,
    /// Everything was made, and its removal begins.
    Removal,
}

/// How the run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// By itself.
    ByItself,
    /// By `kill -9` while the request stands, with a sweep after it.
    Killed,
    /// The request is let through to the server, and `kill -9` comes before its answer, with a sweep after it.
    KilledUnanswered,
}

/// Every moment at which something can be done, with what can be done then.
const TABLE: [(Before, Does, Ends); 16] = [
    (Before::Creation, Does::Creates, Ends::ByItself),
    (Before::Creation, Does::Creates, Ends::Killed),
    (Before::Creation, Does::Creates, Ends::KilledUnanswered),
    (Before::Creation, Does::Nothing, Ends::Killed),
    (Before::Answer, Does::Nothing, Ends::Killed),
    (Before::Answer, Does::Replaces, Ends::Killed),
    (Before::Answer, Does::TakesOver, Ends::Killed),
    (Before::Answer, Does::Replaces, Ends::ByItself),
    (Before::Answer, Does::TakesOver, Ends::ByItself),
    (Before::Removal, Does::Nothing, Ends::Killed),
    (Before::Removal, Does::Replaces, Ends::ByItself),
    (Before::Removal, Does::TakesOver, Ends::ByItself),
    (Before::Removal, Does::Replaces, Ends::Killed),
    (Before::Removal, Does::TakesOver, Ends::Killed),
    (Before::Removal, Does::Forges, Ends::ByItself),
    (Before::Removal, Does::Forges, Ends::Killed),
];

async fn held(heard: &mut UnboundedReceiver<Held>, what: &str) -> Held {
    let held = tokio::time::timeout(PATIENCE, heard.recv()).await;
    held.unwrap_or_else(|_| panic!("{what}: the request never came")).unwrap()
}

/// Plays one row of the table with one thing, and says what is wrong with how it came out.
async fn play(world: &World, thing: &Thing, (when, does, ends): (Before, Does, Ends)) -> Vec<String> {
    let row = format!("{}, {when:?}, {does:?}, {ends:?}", thing.what);
    world.scenario(&thing.scenario);
    let (method, path) = thing.made_by;
    let sides: &[Side] = match (when, ends) {
        (Before::Creation, Ends::KilledUnanswered) => &[Side::Before, Side::After],
        (Before::Creation, _) => &[Side::Before],
        (Before::Answer, _) => &[Side::After],
        (Before::Removal, _) => &[Side::Before],
    };
    let mut heard = world.doors.arm(Gate { method, path: pattern(path), nth: 1, sides });
    let mut run = world.run();
    let made = held(&mut heard, &row).await;
    let mut target = Target::of(world, thing, &made);
    let mut stands = made;
    if when == Before::Removal {
        // The look before the creation has been already.
        let (method, path) = thing.removed_by;
        heard = world.doors.arm(Gate { method, path: pattern(path), nth: 1, sides });
        drop(stands);
        stands = held(&mut heard, &row).await;
    }
    match does {
        Does::Nothing => {}
        Does::Creates => target.create().await,
        Does::Replaces => target.replace().await,
        Does::TakesOver => target.take_over().await,
        Does::Forges => target.forge().await,
    }
    let mut wrong = Vec::new();
    let ended: Output = match ends {
        Ends::ByItself => {
            drop(stands);
            let ended = tokio::task::spawn_blocking(move || run.wait_with_output().unwrap()).await.unwrap();
            // Of an application nothing is left when somebody deletes it: another one with its name does not belong to the run.
            let gone = matches!(thing.at, things::At::Application) && does != Does::TakesOver;
            if when != Before::Creation && !gone && ended.status.code() != Some(5) && ended.status.code() != Some(1) {
                wrong.push(format!("{row}: the run does not tell that something was left: {ended:?}"));
            }
            ended
        }
        Ends::Killed | Ends::KilledUnanswered => {
            if ends == Ends::KilledUnanswered {
                drop(stands);
                stands = held(&mut heard, &row).await;
            }
            run.kill().unwrap();
            run.wait().unwrap();
            drop(stands);
            world.doors.disarm();
            world.sweep()
        }
    };
    let (theirs, others) = target.count().await;
    let expected = usize::from(does != Does::Nothing);
    if theirs != expected {
        wrong.push(format!("{row}: {theirs} of theirs are there, and {expected} should be: {ended:?}"));
    }
    // A group whose creation was never answered and carries no proof is left and reported.
    let unproven = matches!(thing.at, things::At::Group) && when == Before::Answer && does == Does::Nothing;
    if others != 0 && !unproven {
        wrong.push(format!("{row}: {others} resources of the run are still there: {ended:?}"));
    }
    if unproven && !String::from_utf8_lossy(&ended.stderr).contains("there is no proof that this run created it") {
        wrong.push(format!("{row}: it is not told why it was left: {ended:?}"));
    }
    world.doors.disarm();
    target.remove_all().await;
    // Whatever else the row left: the next one begins with nothing.
    world.clean().await;
    world.forget_state();
    wrong
}

/// Plays every row with one thing.
async fn play_each(world: &World, thing: &Thing) -> Vec<String> {
    let mut wrong = Vec::new();
    for row in TABLE {
        if !left_out(thing, row) {
            wrong.extend(play(world, thing, row).await);
        }
    }
    wrong
}

async fn play_all(things: impl Iterator<Item = Thing>) {
    let Some(world) = World::up().await else { return };
    let mut wrong = Vec::new();
    for thing in things {
        wrong.extend(play_each(&world, &thing).await);
    }
    assert!(wrong.is_empty(), "{} rows went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Rows that say nothing of an application.
fn left_out(thing: &Thing, row: (Before, Does, Ends)) -> bool {
    let application = matches!(thing.at, things::At::Application);
    match row {
        // A search by marks can tell no application from another one that carries the name and the marks of a run.
        (_, Does::Forges, Ends::Killed) => application,
        // A directory that does not know a new application yet is waited for, for minutes.
        (Before::Answer, Does::Replaces, Ends::ByItself) => application,
        _ => false,
    }
}

fn in_cluster(thing: &Thing) -> bool {
    matches!(thing.at, things::At::Cluster(..))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_makes_on_the_cluster_stays_and_what_we_made_goes() {
    play_all(things::all().into_iter().filter(in_cluster)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_makes_in_azure_stays_and_what_we_made_goes() {
    play_all(things::all().into_iter().filter(|thing| !in_cluster(thing))).await;
}
