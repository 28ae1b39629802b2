"""Every layout of pixels against a known picture, worked out here by its definition; and what is refused."""

import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_perception.image_formats import ENCODINGS, PackedPicture, from_compressed, from_raw
from clwm_perception.preprocess import ImageError
from tests.clwm_perception.pngs import with_wrong_pixels

HEIGHT, WIDTH = 8, 12
# Blocks of 4 x 4 pixels, so that neither a Bayer pattern nor shared chroma blurs their insides.
COLOURS = np.array([[[200, 40, 60], [30, 180, 90], [50, 70, 210]], [[128, 128, 128], [235, 225, 20], [16, 16, 16]]])
PICTURE = np.repeat(np.repeat(COLOURS, 4, axis=0), 4, axis=1).astype(np.uint8)
GREY = np.repeat(PICTURE[..., :1], 3, axis=2)
INSIDE = np.isin(np.arange(HEIGHT) % 4, (1, 2))[:, None] & np.isin(np.arange(WIDTH) % 4, (1, 2))[None]
BAYER = {"rggb": (0, 1, 1, 2), "bggr": (2, 1, 1, 0), "gbrg": (1, 2, 0, 1), "grbg": (1, 0, 2, 1)}
JPEG, PNG = (cv2.imencode(kind, PICTURE[..., ::-1])[1].tobytes() for kind in (".jpg", ".png"))


def yuv(picture):
    """(height, width, 3) Y, Cb, Cr of BT.601, limited range."""
    red, green, blue = np.moveaxis(picture.astype(float) / 255.0, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = [(blue - luma) / 1.772, (red - luma) / 1.402]
    return np.stack([16 + 219 * luma, *(128 + 224 * one for one in chroma)], axis=-1).round().astype(np.uint8)


def bayer(pattern):
    mosaic = np.empty((HEIGHT, WIDTH), np.uint8)
    for place, channel in enumerate(BAYER[pattern]):
        mosaic[place // 2 :: 2, place % 2 :: 2] = PICTURE[place // 2 :: 2, place % 2 :: 2, channel]
    return mosaic


def rows_of(encoding):
    """The picture as rows of bytes or 16-bit values in this encoding: (rows, values)."""
    if encoding.endswith("16"):
        return rows_of(encoding.removesuffix("16") + "8").astype(np.uint16) * 257
    full = np.dstack([PICTURE, np.full((HEIGHT, WIDTH), 99, np.uint8)])
    luma, *chroma = np.moveaxis(yuv(PICTURE), -1, 0)
    shared = np.stack(chroma, axis=-1)[:, ::2].reshape(HEIGHT, WIDTH)  # U, V of every second pixel
    match encoding:
        case "rgb8" | "bgr8":
            return PICTURE[..., :: 1 if encoding == "rgb8" else -1].reshape(HEIGHT, -1)
        case "rgba8":
            return full.reshape(HEIGHT, -1)
        case "bgra8":
            return full[..., [2, 1, 0, 3]].reshape(HEIGHT, -1)
        case "mono8":
            return GREY[..., 0]
        case "yuv422" | "uyvy":
            return np.stack([shared, luma], axis=-1).reshape(HEIGHT, -1)
        case "yuv422_yuy2" | "yuyv":
            return np.stack([luma, shared], axis=-1).reshape(HEIGHT, -1)
        case "nv12":
            return np.vstack([luma, shared[::2]])
        case "nv21":
            return np.vstack([luma, shared[::2].reshape(-1, WIDTH // 2, 2)[..., ::-1].reshape(-1, WIDTH)])
    return bayer(encoding.removeprefix("bayer_").removesuffix("8"))


def decoded(encoding, padding=0, is_bigendian=False):
    rows = rows_of(encoding)
    if is_bigendian:
        rows = rows.astype(">u2")
    octets = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    octets = np.pad(octets, ((0, 0), (0, padding)), constant_values=77)
    return from_raw(encoding, HEIGHT, WIDTH, octets.shape[1], octets.tobytes(), is_bigendian).rgb()


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_known_picture_comes_out_of_every_encoding_with_and_without_padded_rows(encoding, padding):
    got = decoded(encoding, padding)
    assert got.dtype == np.uint8 and got.shape == (HEIGHT, WIDTH, 3)
    is_exact = encoding.startswith(("rgb", "bgr", "mono"))
    expected = GREY if encoding.startswith("mono") else PICTURE
    off = np.abs(got.astype(int) - expected)
    # Luma and chroma are rounded to whole numbers of a limited range before they are turned back.
    allowed = 0 if is_exact else 3 if encoding.startswith(("yu", "uy", "nv")) else 1
    assert off[INSIDE].max() <= allowed and (not is_exact or off.max() == 0)


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name.endswith("16")])
def test_big_endian_values_of_16_bits_are_those_of_the_other_order(encoding):
    np.testing.assert_array_equal(decoded(encoding, 2, is_bigendian=True), decoded(encoding))


def test_the_byte_order_of_single_bytes_means_nothing():
    octets = rows_of("rgb8").tobytes()
    np.testing.assert_array_equal(from_raw("rgb8", HEIGHT, WIDTH, 3 * WIDTH, octets, True).rgb(), PICTURE)


@settings(max_examples=50, deadline=None)
@given(bits=st.integers(8, 16), value=st.integers(0, 65535))
def test_a_full_value_of_the_significant_bits_is_white_and_all_others_are_in_proportion(bits, value):
    value = min(value, 2**bits - 1)
    row = np.array([value, 2**bits - 1], "<u2").tobytes()
    seen = from_raw("mono16", 1, 2, 4, row, significant_bits=bits).rgb()[0, :, 0]
    assert seen[1] == 255 and abs(seen[0] - 255.0 * value / (2**bits - 1)) <= 0.5 + 1e-6


@settings(max_examples=30)
@given(height=st.integers(1, 6), width=st.integers(1, 6), padding=st.integers(0, 5), flipped=st.booleans())
def test_padded_and_bgr_messages_of_any_size_give_the_rgb_picture(height, width, padding, flipped):
    picture = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    sent = picture[..., ::-1] if flipped else picture
    rows = np.concatenate([sent.reshape(height, -1), np.full((height, padding), 7, np.uint8)], axis=1)
    got = from_raw("bgr8" if flipped else "rgb8", height, width, 3 * width + padding, rows.tobytes())
    np.testing.assert_array_equal(got.rgb(), picture)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (("32FC1", 2, 2, 8, b"\0" * 16), "encoding is '32FC1'; expected one of rgb8, bgr8, rgba8, .*; have the camera"),
        (("rgb8", 2, 2, 6, b"\0" * 11), "data has 11 bytes; expected height x step = 2 x 6 = 12; have the driver"),
        (("rgb8", 2, 2, 6, b"\0" * 13), "data has 13 bytes; expected height x step = 2 x 6 = 12"),
        (("nv12", 2, 2, 2, b"\0" * 4), "data has 4 bytes; expected height x step x 1.5 = 2 x 2 x 1.5 = 6"),
        (("rgb8", 2, 4, 6, b"\0" * 12), "step is 6 bytes; expected at least 12 for 4 pixels of rgb8"),
        (("rgba8", 2, 4, 12, b"\0" * 24), "step is 12 bytes; expected at least 16 for 4 pixels of rgba8"),
        (("mono16", 2, 2, 5, b"\0" * 10), "step is 5 bytes; expected at least 4 for 2 pixels of mono16, whole values"),
        (("rgb8", 0, 4, 12, b""), "4 x 0 pixels; expected at least one"),
        (("yuv422", 2, 3, 6, b"\0" * 12), "3 x 2 pixels; expected a multiple of 2 x 1 for yuv422"),
        (("nv12", 3, 2, 2, b"\0" * 9), "2 x 3 pixels; expected a multiple of 2 x 2 for nv12"),
        (("bayer_rggb8", 3, 2, 2, b"\0" * 6), "2 x 3 pixels; expected a multiple of 2 x 2 for bayer_rggb8"),
    ],
)
def test_a_message_that_contradicts_itself_is_refused(fields, said):
    with pytest.raises(ImageError, match=said):
        from_raw(*fields)


@pytest.mark.parametrize("declared", ["png", "rgb8; png compressed bgr8", ""])
def test_a_png_gives_the_picture_bit_for_bit(declared):
    np.testing.assert_array_equal(from_compressed(declared, PNG).rgb(), PICTURE)


def test_a_jpeg_gives_the_picture_up_to_its_losses():
    smooth = cv2.GaussianBlur(np.kron(PICTURE, np.ones((8, 8, 1), np.uint8)), (0, 0), 8)
    data = cv2.imencode(".jpg", smooth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    assert np.abs(from_compressed("jpeg", data).rgb().astype(int) - smooth).mean() < 2.0


@pytest.mark.parametrize(
    ("values", "declared", "expected"),
    [
        (GREY[..., 0], "mono8; jpeg compressed ", GREY),
        (GREY[..., 0].astype(np.uint16) * 257, "mono16; png compressed ", GREY),
        (np.dstack([PICTURE[..., ::-1], GREY[..., 0]]), "bgra8; png compressed bgra8", PICTURE),
        (bayer("gbrg"), "bayer_gbrg8; png compressed ", None),
    ],
)
def test_compressed_grey_deep_transparent_and_bayer_pictures_are_what_they_were(values, declared, expected):
    picture = from_compressed(declared, cv2.imencode(".png", values)[1].tobytes()).rgb()
    np.testing.assert_array_equal(picture, decoded("bayer_gbrg8") if expected is None else expected)


def test_a_small_file_that_unpacks_to_a_huge_picture_is_refused_before_it_is_unpacked():
    bomb = cv2.imencode(".png", np.zeros((4000, 5000), np.uint8))[1].tobytes()
    assert len(bomb) < 200_000
    with pytest.raises(ImageError, match="unpacks to 5000 x 4000 pixels, 60000000 bytes; expected at most 16000000"):
        from_compressed("png", bomb, 16_000_000)


@pytest.mark.parametrize(
    ("declared", "data", "said"),
    [
        ("jpeg", JPEG[:-40], "cut off before the end"),
        ("png", PNG[:-40], "cut off before the end"),
        ("jpeg", b"\xff\xd8\xff\xd9", "JPEG without a header"),
        ("jpeg", b"\xff\xd8\xff\xe0\xff\xff" + JPEG[-2:], "JPEG without a header"),
        ("png", PNG[:40] + b"\0" * 60 + PNG[-12:], "cannot be unpacked"),
        (
            "16UC1; compressedDepth",
            b"\0" * 12 + PNG,
            "format is '16UC1; compressedDepth' and its data begins with 00 00",
        ),
        ("", b"", "data begins with nothing; expected a JPEG or a PNG"),
        ("tiff", b"II*\0" + b"\0" * 40, "format is 'tiff' and its data begins with 49 49 2a 00; expected a JPEG"),
    ],
)
def test_what_is_no_whole_jpeg_or_png_is_refused_with_what_it_is(declared, data, said):
    with pytest.raises(ImageError, match=said):
        from_compressed(declared, data)


def test_a_png_that_is_read_late_is_not_unpacked_until_it_is_looked_at_and_is_the_same_picture(monkeypatch):
    unpack, unpacked = cv2.imdecode, []
    monkeypatch.setattr(cv2, "imdecode", lambda *given: (unpacked.append(1), unpack(*given))[1])
    late = from_compressed("png", PNG + b"\0\0", late=True)
    assert isinstance(late, PackedPicture) and (late.height, late.width) == (HEIGHT, WIDTH) and not unpacked
    np.testing.assert_array_equal(late.rgb(), PICTURE)
    assert unpacked
    deep = cv2.imencode(".png", GREY[..., 0].astype(np.uint16))[1].tobytes()
    np.testing.assert_array_equal(from_compressed("mono16", deep, significant_bits=8, late=True).rgb(), GREY)


def test_a_jpeg_is_unpacked_at_once_though_it_is_read_late():
    with pytest.raises(ImageError, match="cannot be unpacked"):
        from_compressed("jpeg", JPEG[:200] + b"\xff\xd9", late=True)


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, len(PNG) - 1), flipped=st.integers(1, 255))
def test_every_wrong_byte_of_a_png_is_noticed_without_unpacking_it(place, flipped):
    data = bytearray(PNG)
    data[place] ^= flipped
    with pytest.raises(ImageError):
        from_compressed("", bytes(data), 3 * HEIGHT * WIDTH * 64, late=True)


@pytest.mark.parametrize("cut", [PNG[:8] + PNG[8:24], PNG[:-40] + PNG[-12:], PNG[:33] + PNG[-8:]])
def test_a_png_that_is_cut_anywhere_is_refused_without_unpacking_it(cut):
    with pytest.raises(ImageError, match="cut off|checksums"):
        from_compressed("png", cut, late=True)


def test_a_png_of_right_checksums_that_is_no_picture_says_so_when_it_is_looked_at():
    late = from_compressed("png", with_wrong_pixels(PNG), late=True)
    with pytest.raises(ImageError, match="cannot be unpacked"):
        late.rgb()


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, min(len(JPEG), len(PNG)) - 1), value=st.integers(0, 255), is_png=st.booleans())
def test_one_wrong_byte_is_refused_or_gives_a_picture_and_never_anything_else(place, value, is_png):
    data = bytearray(PNG if is_png else JPEG)
    data[place] = value
    try:
        picture = from_compressed("", bytes(data), 3 * HEIGHT * WIDTH * 64).rgb()
    except ImageError:
        return
    assert picture.ndim == 3 and picture.dtype == np.uint8


def test_the_data_of_a_ros_message_is_read_without_a_copy():
    octets = array.array("B", rows_of("rgb8").tobytes())
    assert np.shares_memory(from_raw("rgb8", HEIGHT, WIDTH, 3 * WIDTH, octets).rgb(), np.frombuffer(octets, np.uint8))
