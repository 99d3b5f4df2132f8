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
    // At either end of the hole, and of the file, is a block that is free in part.
    assert!(taken() <= file.bytes() + 3 * 4096, "{} octets of {}", taken(), file.bytes());
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

/// Many of them share a block, which is given back when the last one goes.
#[test]
fn short_pages_take_no_more_space_than_they_need() {
    let directory = Directory::new("short");
    let mut file = PageFile::open(0, &directory.0).expect("a page file");
    let mut pages: Vec<(usize, Page)> = (0..800)
        .map(|number| (number, file.put(&octets(number as u8, 130 + number)).expect("space")))
        .collect();
    assert!(file.bytes() <= 800 * 1024);
    let kept = pages.split_off(790);
    // Every third one, and then the others.
    for step in [3, 2, 1] {
        let (gone, left) = pages.into_iter().partition(|(number, _)| number % step == 0);
        pages = left;
        let gone: Vec<(usize, Page)> = gone;
        for (number, page) in gone {
            assert_eq!(file.read(&page), octets(number as u8, page.length()));
            file.free(page);
        }
    }
    let taken = fs::metadata(directory.file()).expect("the file").blocks() * 512;
    assert!(taken <= file.bytes() + 2 * 4096, "{taken} octets of {}", file.bytes());
    for (number, page) in kept {
        assert_eq!(file.read(&page), octets(number as u8, page.length()));
        file.free(page);
    }
    assert_eq!(file.bytes(), 0);
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
