"""Checksums of pieces: what counts as written, as clashing, as damaged."""

from __future__ import annotations

import numpy as np
import pytest

from zido_core.errors import OutputFailed
from zido_core.raster.ledger import BAND_ROWS, Ledger
from zido_core.tiling.grid import Size, Tile

CANVAS = Size(600, 90)
PIXELS = np.random.default_rng(0).integers(0, 255, (2, *CANVAS), dtype=np.uint8)


def piece(tile, pixels=PIXELS):
    return pixels[:, *tile.slices]


def filled(*tiles):
    ledger = Ledger(CANVAS)
    for tile in tiles:
        ledger.add(tile, piece(tile))
    return ledger


def test_what_reads_back_the_same_is_good():
    ledger = filled(Tile(300, 0, 300, 90), Tile(0, 0, 300, 40), Tile(0, 40, 300, 50))
    assert ledger.missing == 0
    ledger.verify(piece)


def test_it_reads_no_more_rows_at_once_than_a_block_has_and_from_top_to_bottom():
    seen = []
    filled(Tile(0, 40, 600, 50), Tile(0, 0, 600, 40)).verify(lambda tile: seen.append(tile) or piece(tile))
    assert max(tile.height for tile in seen) == BAND_ROWS
    assert [tile.row for tile in seen] == sorted(tile.row for tile in seen)


@pytest.mark.parametrize("at", [(0, 0, 0), (1, 299, 89), (1, 599, 0)])
def test_one_changed_number_is_found(at):
    damaged = PIXELS.copy()
    damaged[at] ^= 1
    ledger = filled(Tile(0, 0, 300, 90), Tile(300, 0, 300, 90))
    with pytest.raises(OutputFailed, match="do not read back"):
        ledger.verify(lambda tile: piece(tile, damaged))
    ledger.verify(lambda tile: piece(tile, damaged), exact=False)


def test_missing_pixels_are_counted():
    assert Ledger(CANVAS).missing == 600 * 90
    assert filled(Tile(0, 0, 600, 89)).missing == 600


def test_the_same_window_may_be_written_again_but_none_may_overlap():
    ledger = filled(Tile(0, 0, 300, 90))
    ledger.add(Tile(0, 0, 300, 90), piece(Tile(0, 0, 300, 90)))
    with pytest.raises(ValueError, match="overlaps"):
        ledger.add(Tile(299, 89, 2, 1), piece(Tile(299, 89, 2, 1)))
    assert ledger.missing == 300 * 90


@pytest.mark.parametrize("tile", [Tile(-1, 0, 2, 2), Tile(599, 0, 2, 2), Tile(0, 89, 2, 2), Tile(0, 0, 0, 2)])
def test_windows_outside_the_canvas_are_refused(tile):
    with pytest.raises(ValueError, match="does not fit"):
        Ledger(CANVAS).add(tile, np.zeros((2, tile.height, tile.width), np.uint8))


def test_sign_of_zero_and_nan_count():
    ledger = Ledger(Size(1, 2))
    ledger.add(Tile(0, 0, 1, 2), np.array([[[np.nan, -0.0]]], np.float32))
    ledger.verify(lambda tile: np.array([[[np.nan, -0.0]]], np.float32))
    with pytest.raises(OutputFailed):
        ledger.verify(lambda tile: np.array([[[np.nan, 0.0]]], np.float32))
