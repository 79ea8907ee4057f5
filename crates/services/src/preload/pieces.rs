//! A file as a stream of pieces, decompressed when it is xz.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use coracle_image::compression::{XZ_MAGIC, is_xz, xz};
use futures_util::stream::{self, Stream};
use tokio::sync::mpsc;

/// Bytes in a piece.
const SIZE: usize = 256 << 10;

/// Opens a file and streams it. A thread reads a few pieces ahead and ends when nobody takes them any more.
pub(super) fn pieces(
    path: &Path,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
    let mut file = File::open(path)?;
    let packed = begins_with_xz(&mut file)?;
    let (sender, pieces) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || match packed {
        true => send(xz(file), &sender),
        false => send(file, &sender),
    });
    Ok(stream::unfold(pieces, |mut pieces| async {
        Some((pieces.recv().await?, pieces))
    }))
}

fn begins_with_xz(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.take(XZ_MAGIC as u64).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(is_xz(&start))
}

fn send(mut source: impl Read, pieces: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut piece = Vec::with_capacity(SIZE);
        let read = (&mut source).take(SIZE as u64).read_to_end(&mut piece);
        let piece = match read {
            Ok(0) => return,
            Ok(_) => Ok(Bytes::from(piece)),
            Err(error) => Err(error),
        };
        let failed = piece.is_err();
        if pieces.blocking_send(piece).is_err() || failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use futures_util::TryStreamExt as _;

    use super::*;

    async fn whole(path: &Path) -> io::Result<Vec<u8>> {
        let pieces: Vec<Bytes> = pieces(path)?.try_collect().await?;
        Ok(pieces.concat())
    }

    fn data() -> Vec<u8> {
        (0..700_000_u32).map(|i| (i / 7) as u8).collect()
    }

    #[tokio::test]
    async fn files_are_streamed_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        for data in [data(), b"short".to_vec(), Vec::new()] {
            std::fs::write(&path, &data).unwrap();
            assert!(whole(&path).await.unwrap() == data);
        }
        assert!(pieces(&dir.path().join("none")).is_err());
    }

    #[tokio::test]
    async fn xz_is_decompressed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        std::fs::write(&path, data()).unwrap();
        match Command::new("xz").arg(&path).status() {
            Ok(status) if status.success() => {}
            _ => return println!("skipped: no xz program"),
        }
        let path = dir.path().join("a.tar.xz");
        assert!(whole(&path).await.unwrap() == data());
        let packed = std::fs::read(&path).unwrap();
        std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
        assert!(whole(&path).await.is_err(), "half a file is an error");
    }
}
