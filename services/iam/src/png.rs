//! A QR code as a PNG, small and uncompressed: a second factor is set up by photographing it.

use api::Error;
use qrcodegen::{QrCode, QrCodeEcc};

/// Pixels of one module, and modules of white around.
const SCALE: usize = 4;
const BORDER: usize = 4;

pub(crate) fn qr_code(text: &str) -> Result<Vec<u8>, Error> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).map_err(Error::internal)?;
    let modules = usize::try_from(code.size()).unwrap_or(0) + 2 * BORDER;
    let side = modules * SCALE;
    let module = |at: usize| i32::try_from(at / SCALE).unwrap_or(0) - BORDER as i32;
    // A row is a filter byte and one bit for each pixel, white being 1.
    let row_bytes = side.div_ceil(8);
    let mut raw = vec![0u8; side * (row_bytes + 1)];
    for y in 0..side {
        for x in 0..side {
            if !code.get_module(module(x), module(y)) {
                raw[y * (row_bytes + 1) + 1 + x / 8] |= 0x80 >> (x % 8);
            }
        }
    }
    let side = u32::try_from(side).unwrap_or(0).to_be_bytes();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&side[..], &side[..], &[1, 0, 0, 0, 0]].concat();
    chunk(&mut png, b"IHDR", &header);
    chunk(&mut png, b"IDAT", &stored(&raw));
    chunk(&mut png, b"IEND", &[]);
    Ok(png)
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend(u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
    let from = png.len();
    png.extend(kind);
    png.extend(data);
    let crc = crc32(&png[from..]);
    png.extend(crc.to_be_bytes());
}

/// A zlib stream of blocks that are not compressed.
fn stored(raw: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks = raw.len().div_ceil(65_535).max(1);
    for (index, block) in raw.chunks(65_535).enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(index + 1 == blocks));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in raw {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend((b << 16 | a).to_be_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(stored(b"Wikipedia")[16..], 0x11e6_0398u32.to_be_bytes());
    }

    #[test]
    fn a_picture() {
        let png = qr_code("otpauth://totp/x").unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"));
        assert!(png.ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82"));
    }
}
