use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cleanroom_registry::{Actor, OpenOptions, QueryId, Registry, RegistryError, Status};
use tempfile::TempDir;

use crate::house::{House, attempt, data, furnish, intent, open, purchases, refused, released, room_name, verified};

async fn ask(house: &House) -> QueryId {
    let id = QueryId::generate().unwrap();
    let (_, pending) = house.registry.reserve(intent(&id)).await.unwrap();
    house.registry.record(pending, released()).await.unwrap();
    id
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).map(drop).unwrap()
        }
    }
}

#[tokio::test]
async fn an_intent_whose_process_is_gone_becomes_a_failure() {
    let house = House::furnished().await;
    let id = QueryId::generate().unwrap();
    let (_, pending) = house.registry.reserve(intent(&id)).await.unwrap();
    // A process that is killed runs no destructor, and its lock is released by the kernel.
    std::mem::forget(pending);
    fs::remove_dir_all(house.directory.path().join("run")).unwrap();
    let house = house.reopened().await;
    let query = house.registry.query(&room_name(), &id).await.unwrap().unwrap();
    assert_eq!(query.status, Some(Status::Failed));
    assert_eq!(query.document.pointer("/error/code").unwrap(), "CR5001");
    assert_eq!(house.kinds().await.last().unwrap(), "query.outcome");
    let runs = fs::read_dir(house.directory.path().join("run")).unwrap().count();
    assert_eq!(runs, 1);
}

/// A crash between the commit and the files: the directory is as it was before the last entries.
#[tokio::test]
async fn a_log_behind_the_database_is_completed() {
    let house = House::furnished().await;
    let directory = house.registry.log_directory(&room_name());
    let before = TempDir::new().unwrap();
    copy(&directory, before.path());
    ask(&house).await;
    fs::remove_dir_all(&directory).unwrap();
    copy(before.path(), &directory);
    let house = house.reopened().await;
    verified(&house.registry);
    assert_eq!(house.kinds().await.len(), 5);
    assert_eq!(fs::read_to_string(directory.join("checkpoint")).unwrap().lines().nth(1).unwrap(), "5");
}

#[tokio::test]
async fn files_that_are_gone_are_derived_again() {
    for part in ["", "tile", "tile/entries", "tile/0", "blobs", "log.pub", "checkpoint"] {
        let house = House::furnished().await;
        ask(&house).await;
        let directory = house.registry.log_directory(&room_name());
        let path = directory.join(part);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        let house = house.reopened().await;
        verified(&house.registry);
        ask(&house).await;
        assert_eq!(house.kinds().await.len(), 7, "{part}");
    }
}

#[tokio::test]
async fn files_that_vanish_while_it_runs_are_derived_again() {
    let house = House::furnished().await;
    ask(&house).await;
    for part in ["tile", "checkpoint"] {
        let path = house.registry.log_directory(&room_name()).join(part);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        ask(&house).await;
        verified(&house.registry);
    }
}

#[tokio::test]
async fn a_database_behind_its_checkpoint_does_not_open() {
    let house = House::furnished().await;
    house.registry.close().await;
    let database = house.directory.path().join("registry.sqlite");
    let backup = fs::read(&database).unwrap();
    let house = house.reopened().await;
    ask(&house).await;
    house.registry.close().await;
    fs::write(&database, &backup).unwrap();
    let opened = open(house.directory.path()).await;
    let Err(RegistryError::RolledBack { signed: 5, stored: 3, .. }) = opened else { panic!("{opened:?}") };

    // A room that is not in the database at all.
    let empty = House::empty().await;
    empty.registry.close().await;
    fs::copy(empty.directory.path().join("registry.sqlite"), &database).unwrap();
    let opened = open(house.directory.path()).await;
    let Err(RegistryError::RolledBack { signed: 5, stored: 0, .. }) = opened else { panic!("{opened:?}") };
}

#[tokio::test]
async fn a_database_behind_a_checkpoint_of_its_history_does_not_open() {
    let house = House::furnished().await;
    house.registry.close().await;
    let database = house.directory.path().join("registry.sqlite");
    let log = house.registry.log_directory(&room_name());
    let (stored, signed) = (fs::read(&database).unwrap(), fs::read(log.join("checkpoint")).unwrap());
    let house = house.reopened().await;
    ask(&house).await;
    house.registry.close().await;
    // Whoever takes the newest checkpoint back with the database has to take the history back, too.
    fs::write(&database, &stored).unwrap();
    fs::write(log.join("checkpoint"), signed).unwrap();
    let opened = open(house.directory.path()).await;
    let Err(RegistryError::RolledBack { signed: 5, stored: 3, .. }) = opened else { panic!("{opened:?}") };
}

#[tokio::test]
async fn a_database_with_another_history_does_not_open() {
    let house = House::furnished().await;
    house.registry.close().await;
    let database = house.directory.path().join("registry.sqlite");
    let backup = fs::read(&database).unwrap();
    let house = house.reopened().await;
    ask(&house).await;
    house.registry.close().await;
    // The same number of entries and more, but not those that were signed.
    let signed = TempDir::new().unwrap();
    let log = house.registry.log_directory(&room_name());
    copy(&log, signed.path());
    fs::write(&database, &backup).unwrap();
    fs::remove_dir_all(&log).unwrap();
    let house = house.reopened().await;
    ask(&house).await;
    ask(&house).await;
    house.registry.close().await;
    fs::remove_dir_all(&log).unwrap();
    copy(signed.path(), &log);
    assert!(matches!(open(house.directory.path()).await, Err(RegistryError::RolledBack { signed: 5, stored: 7, .. })));
}

/// Nothing is signed on top of a checkpoint of another key, and what was recorded is not shown.
#[tokio::test]
async fn a_foreign_checkpoint_is_not_continued() {
    let (house, other) = (House::furnished().await, House::furnished().await);
    let checkpoint = |house: &House| house.registry.log_directory(&room_name()).join("checkpoint");
    let foreign = fs::read(checkpoint(&other)).unwrap();
    fs::write(checkpoint(&house), &foreign).unwrap();
    let refused = house.registry.record_refusal(attempt(&QueryId::generate().unwrap()), refused()).await;
    assert!(matches!(refused, Err(RegistryError::Checkpoint { .. })));
    assert_eq!(fs::read(checkpoint(&house)).unwrap(), foreign);
    assert!(matches!(open(house.directory.path()).await, Err(RegistryError::Checkpoint { .. })));
}

#[tokio::test]
async fn a_log_put_back_under_a_running_process_is_brought_up_again() {
    let house = House::furnished().await;
    let backup = TempDir::new().unwrap();
    house.registry.close().await;
    copy(house.directory.path(), backup.path());
    let house = house.reopened().await;
    ask(&house).await;
    let log = house.registry.log_directory(&room_name());
    // The whole of an older log, which its own checkpoint fits.
    fs::remove_dir_all(&log).unwrap();
    copy(&backup.path().join("log/retail-media"), &log);
    ask(&house).await;
    verified(&house.registry);
    assert_eq!(house.kinds().await.len(), 7);
}

#[tokio::test]
async fn a_log_has_a_host_that_fits_a_checkpoint() {
    let directory = TempDir::new().unwrap();
    for host in ["", "a b", "a+b", "a\nb"] {
        let options = OpenOptions { data_dir: directory.path().to_owned(), log_host: host.to_owned() };
        assert!(matches!(Registry::open(options).await, Err(RegistryError::LogHost(_))), "{host}");
    }
}

#[tokio::test]
async fn without_its_key_a_log_is_not_continued() {
    let house = House::furnished().await;
    house.registry.close().await;
    fs::remove_file(house.directory.path().join("log.key")).unwrap();
    assert!(matches!(open(house.directory.path()).await, Err(RegistryError::KeyMissing(_))));
}

#[tokio::test]
async fn an_answer_that_cannot_be_signed_is_not_given() {
    let house = House::furnished().await;
    let id = QueryId::generate().unwrap();
    let (_, pending) = house.registry.reserve(intent(&id)).await.unwrap();
    // Files cannot be made where a file stands in the directory's place: a full disk, whoever is asking.
    let log = house.registry.log_directory(&room_name());
    let aside = log.with_extension("aside");
    fs::rename(&log, &aside).unwrap();
    fs::write(&log, b"").unwrap();
    let recorded = house.registry.record(pending, released()).await;
    assert!(matches!(recorded, Err(RegistryError::Log(_))));
    assert!(house.registry.query(&room_name(), &id).await.is_err());
    // With the directory back, what was recorded is signed before it is shown.
    fs::remove_file(&log).unwrap();
    fs::rename(&aside, &log).unwrap();
    let query = house.registry.query(&room_name(), &id).await.unwrap().unwrap();
    assert_eq!(query.status, Some(Status::Released));
    assert_eq!(house.kinds().await.last().unwrap(), "query.outcome");
}

/// The database refuses a write in the middle of an outcome: nothing of it stays, and nothing is answered.
#[tokio::test]
async fn an_outcome_that_is_not_stored_leaves_no_entry() {
    let house = House::furnished().await;
    let id = QueryId::generate().unwrap();
    let (_, pending) = house.registry.reserve(intent(&id)).await.unwrap();
    let file = house.directory.path().join("registry.sqlite");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let full = "CREATE TRIGGER disk BEFORE UPDATE ON queries BEGIN SELECT RAISE(ABORT, 'disk is full'); END";
    sqlx::query(full).execute(&pool).await.unwrap();
    let recorded = house.registry.record(pending, released()).await;
    let error = recorded.unwrap_err();
    assert!(matches!(error, RegistryError::Database(_)));
    assert!(!error.public().contains("disk is full"), "what the database says stays inside");
    assert_eq!(house.kinds().await.last().unwrap(), "query.intent");
    sqlx::query("DROP TRIGGER disk").execute(&pool).await.unwrap();
    house.registry.record_refusal(attempt(&QueryId::generate().unwrap()), refused()).await.unwrap();
    verified(&house.registry);
}

#[tokio::test]
async fn entries_in_the_database_are_never_changed() {
    let house = House::furnished().await;
    house.registry.close().await;
    let file = house.directory.path().join("registry.sqlite");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    for statement in ["UPDATE log_entries SET entry = '{}'", "DELETE FROM log_entries"] {
        assert!(sqlx::query(statement).execute(&pool).await.unwrap_err().to_string().contains("never"));
    }
}

#[tokio::test]
async fn the_data_directory_is_its_owners_alone() {
    let parent = TempDir::new().unwrap();
    let data_dir = parent.path().join("state");
    let registry = open(&data_dir).await.unwrap();
    furnish(&registry).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data_dir), 0o700);
    for file in ["registry.sqlite", "registry.sqlite-wal", "log.key", "open.lock"] {
        assert_eq!(mode(&data_dir.join(file)), 0o600, "{file}");
    }
}

/// Long enough for full tiles and a second level.
#[tokio::test]
async fn a_log_of_many_tiles_verifies_and_is_derived_again() {
    let house = House::furnished().await;
    let tasks = (0..300).map(|content| {
        let registry = house.registry.clone();
        let version = data(&char::from(b'a' + content as u8 % 26).to_string());
        tokio::spawn(async move {
            registry.put_table_version(&room_name(), &purchases(), version, &Actor::operator()).await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(house.kinds().await.len(), 303);
    fs::remove_dir_all(house.registry.log_directory(&room_name()).join("tile")).unwrap();
    let house = house.reopened().await;
    verified(&house.registry);
    assert_eq!(house.kinds().await.len(), 303);
}
