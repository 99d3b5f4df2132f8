use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::*;

/// A directory of its own that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("haremq-pages-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join(PageFile::NAME)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn octets(number: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| number ^ (at % 251) as u8).collect()
}

#[test]
fn pages_come_back_as_they_were_and_their_space_is_given_back() {
    let directory = Directory::new("space");
    let mut file = PageFile::open(0, &directory.0).expect("a page file");
    assert!(!directory.file().exists(), "there is none before it is needed");
    let lengths = [300, 4096, 5000, 20_000, 4097, 12_288, 700];
    let mut pages: Vec<(u8, Page)> = (0..70)
        .map(|number| {
            let length = lengths[usize::from(number) % lengths.len()];
            (number, file.put(&octets(number, length)).expect("space"))
        })
        .collect();
    let full = file.bytes();
    // The middle goes first: holes in the file, which are filled again.
    for (number, page) in pages.drain(20..50) {
        assert_eq!(file.read(&page), octets(number, page.length()));
        file.free(page);
    }
    assert!(file.bytes() < full);
    let taken = || fs::metadata(directory.file()).expect("the file").blocks() * 512;
    assert!(taken() <= file.bytes(), "{} octets of {}", taken(), file.bytes());
    for number in 100..120 {
        pages.push((number, file.put(&octets(number, 4096)).expect("space")));
    }
    assert!(file.bytes() < full);
    for (number, page) in pages {
        assert_eq!(file.read(&page), octets(number, page.length()));
        file.free(page);
    }
    assert_eq!(file.bytes(), 0);
    assert_eq!(fs::metadata(directory.file()).expect("the file").len(), 0);
    drop(file);
    assert!(!directory.file().exists(), "a scratch file is not left behind");
}

#[test]
fn what_an_earlier_run_has_left_is_removed() {
    let directory = Directory::new("left");
    fs::write(directory.file(), b"rubbish").expect("a file");
    let _file = PageFile::open(0, &directory.0).expect("a page file");
    assert!(!directory.file().exists());
}

#[test]
fn a_page_that_cannot_be_written_is_refused_and_another_may_be_tried() {
    let directory = Directory::new("refused");
    let mut file = PageFile::open(0, &directory.0).expect("a page file");
    fs::create_dir(directory.file()).expect("something in its place");
    assert!(file.put(&octets(1, 5000)).is_none());
    assert_eq!(file.bytes(), 0);
    fs::remove_dir(directory.file()).expect("out of the way");
    let page = file.put(&octets(2, 5000)).expect("space");
    assert_eq!(file.read(&page), octets(2, 5000));
}
