use super::*;
use glommio::LocalExecutorBuilder;

const BATCH: usize = 64 << 10;

fn scratch(name: &str) -> PathBuf {
    // Not the system's temporary directory, which may be in memory.
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/segment-tests")
        .join(format!("{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn run<T>(future: impl std::future::Future<Output = T>) -> T {
    LocalExecutorBuilder::default().make().unwrap().run(future)
}

fn page(octet: u8, bytes: usize) -> DmaBuffer {
    let mut buffer = glommio::allocate_dma_buffer_global(bytes);
    buffer.as_bytes_mut().fill(octet);
    buffer
}

#[test]
fn what_was_written_is_read_back_after_a_restart() {
    let dir = scratch("restart");
    run(async {
        let (segments, found) = Segments::open(dir.clone(), BATCH).await.unwrap();
        assert!(found.is_empty());
        let create = LogEffect::Create { ticket: 1, file: FileId(7), bytes: 3 << 20 };
        let done = segments.perform(create).await;
        assert!(matches!(done, LogCompletion::Created { ticket: 1 }), "{done:?}");
        let directly = page(4, 4096);
        let done = segments.write_now(9, FileId(7), 20_480, directly.as_bytes());
        assert!(matches!(done, LogCompletion::Written { ticket: 9 }), "{done:?}");
        for (ticket, offset, length) in [(2, 8192, 4096), (3, 65_536, 16_384)] {
            let effect = LogEffect::Write {
                ticket,
                file: FileId(7),
                offset,
                buffer: Rc::new(page(ticket as u8, length)),
                length,
            };
            let done = segments.perform(effect).await;
            assert!(matches!(done, LogCompletion::Written { .. }), "{done:?}");
        }
    });
    run(async {
        let (segments, found) = Segments::open(dir, BATCH).await.unwrap();
        assert_eq!((found.len(), segments.bytes()), (1, 3 << 20));
        assert_eq!((found[0].file, found[0].bytes), (FileId(7), 3 << 20));
        let part = segments.read(FileId(7), 4096, 16_384).await.unwrap();
        let octets = part.as_bytes();
        assert!(octets[..4096].iter().all(|octet| *octet == 0));
        assert!(octets[4096..8192].iter().all(|octet| *octet == 2));
        assert!(octets[8192..].iter().all(|octet| *octet == 0), "nothing else was written");
        let directly = segments.read(FileId(7), 20_480, 4096).await.unwrap();
        assert!(directly.as_bytes().iter().all(|octet| *octet == 4));
        let whole = segments.read(FileId(7), 65_536, 16_384).await.unwrap();
        assert!(whole.as_bytes().iter().all(|octet| *octet == 3));
        let mut batch = segments.read(FileId(7), 65_536, BATCH).await.unwrap();
        batch.as_bytes_mut()[0] = 9;
        assert_eq!(batch.as_bytes()[..2], [9, 3], "a buffer of this size can be written to");
        let end = segments.read(FileId(7), (3 << 20) - 4096, 16_384).await.unwrap();
        assert_eq!(end.len(), 4096, "shorter only at the end of the file");
    });
}

#[test]
fn an_unfinished_file_is_removed_at_start() {
    let dir = scratch("unfinished");
    fs::write(dir.join("00000003.segment.new"), "half").unwrap();
    fs::write(dir.join("notes.txt"), "kept").unwrap();
    let (_, found) = run(Segments::open(dir.clone(), BATCH)).unwrap();
    assert!(found.is_empty());
    assert!(!dir.join("00000003.segment.new").exists());
    assert!(dir.join("notes.txt").exists());
}

#[test]
fn a_file_system_without_direct_io_is_told_from_one_that_is_broken() {
    let shown = |errno: Errno| {
        let failure = IoFailure { code: Some(errno.raw_os_error()), text: "why".into() };
        refused(Path::new("/data/shard-0/probe.new"), failure).to_string()
    };
    assert!(shown(Errno::INVAL).contains("allows O_DIRECT"));
    assert!(shown(Errno::ROFS).starts_with("cannot use /data/shard-0/probe.new: why"));
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_that_names_it() {
    let missing = scratch("missing").join("nowhere");
    let error = run(Segments::open(missing, BATCH)).err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("nowhere")));
}

#[test]
fn a_failure_comes_back_with_its_ticket() {
    let dir = scratch("failure");
    run(async {
        let (segments, _) = Segments::open(dir, BATCH).await.unwrap();
        let read = LogEffect::Read { ticket: 9, file: FileId(1), offset: 0, length: 4096 };
        match segments.perform(read).await {
            LogCompletion::Failed { ticket: 9, error } => {
                assert!(error.text.contains("00000001.segment"), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
        match segments.write_now(11, FileId(1), 0, &[0; 4096]) {
            LogCompletion::Failed { ticket: 11, error } => {
                assert!(error.text.contains("00000001.segment"), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
        // No file system holds an exabyte.
        let create = LogEffect::Create { ticket: 10, file: FileId(2), bytes: 1 << 60 };
        match segments.perform(create).await {
            LogCompletion::Failed { ticket: 10, error } => assert!(error.code.is_some()),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_deleted_file_is_gone() {
    let dir = scratch("deletion");
    run(async {
        let (segments, _) = Segments::open(dir, BATCH).await.unwrap();
        let create = LogEffect::Create { ticket: 1, file: FileId(7), bytes: 1 << 16 };
        let created = segments.perform(create).await;
        assert!(matches!(created, LogCompletion::Created { ticket: 1 }), "{created:?}");
        assert!(segments.path(FileId(7)).exists());
        let deleted = segments.perform(LogEffect::Delete { ticket: 2, file: FileId(7) }).await;
        assert!(matches!(deleted, LogCompletion::Deleted { ticket: 2 }), "{deleted:?}");
        assert!(!segments.path(FileId(7)).exists());
    });
}

/// Whoever takes the last of name and descriptors away waits for the file system: not the shard's thread.
#[test]
fn a_file_that_is_being_read_keeps_its_name_until_nobody_has_it_open() {
    let dir = scratch("deleted-while-read");
    run(async {
        let (segments, _) = Segments::open(dir, BATCH).await.unwrap();
        let segments = Rc::new(segments);
        for file in [FileId(1), FileId(2), FileId(3)] {
            let create = LogEffect::Create { ticket: 1, file, bytes: 1 << 16 };
            let created = segments.perform(create).await;
            assert!(matches!(created, LogCompletion::Created { ticket: 1 }), "{created:?}");
        }
        let reader = segments.file(FileId(1)).unwrap();
        let deleter = segments.clone();
        let deletion = glommio::spawn_local(async move {
            deleter.perform(LogEffect::Delete { ticket: 2, file: FileId(1) }).await
        });
        // All that it does at once is done when others have come and gone.
        for (ticket, file) in [(3, FileId(2)), (4, FileId(3))] {
            let deleted = segments.perform(LogEffect::Delete { ticket, file }).await;
            assert!(matches!(deleted, LogCompletion::Deleted { .. }), "{deleted:?}");
            assert!(!segments.path(file).exists());
        }
        assert!(segments.path(FileId(1)).exists());
        assert!(segments.file(FileId(1)).is_err(), "nobody begins another read");
        drop(reader);
        let deleted = deletion.await;
        assert!(matches!(deleted, LogCompletion::Deleted { ticket: 2 }), "{deleted:?}");
        assert!(!segments.path(FileId(1)).exists());
        assert_eq!(segments.bytes(), 0);
    });
}
