"""Deviation from seed to seed: against numpy, and through an evaluation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from zido_core.evaluate.evaluation import Evaluation
from zido_core.evaluate.methods import parse_methods
from zido_core.evaluate.protocols import choose_protocol
from zido_core.evaluate.tables import tables_of
from zido_core.metrics.stability import Spread, global_deviation, local_deviation


def results(count):
    return np.random.default_rng(count).random((count, 3, 5, 7), dtype=np.float32)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_spread_is_numpys_without_keeping_the_results(count):
    spread = Spread()
    for result in results(count):
        spread.add(result)
    np.testing.assert_allclose(spread.mean, results(count).mean(0), atol=1e-6)
    np.testing.assert_allclose(spread.deviation, results(count).std(0), atol=1e-6)


def test_local_deviation_is_of_valid_pixels():
    spread, valid = Spread(), np.zeros((5, 7), bool)
    valid[1:3, 2:] = True
    for result in results(4):
        spread.add(result)
    assert local_deviation(spread, valid) == pytest.approx(results(4).std(0)[:, valid].mean(), rel=1e-5)


def test_nothing_is_said_of_one_result_or_no_pixel():
    spread = Spread()
    spread.add(results(1)[0])
    assert math.isnan(local_deviation(spread, np.ones((5, 7), bool)))
    assert math.isnan(global_deviation([30.0]))
    spread.add(results(1)[0] + 1)
    assert math.isnan(local_deviation(spread, np.zeros((5, 7), bool)))


def test_evaluation_over_seeds(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    evaluation = Evaluation(
        methods=parse_methods(["bicubic,mini:steps=1,mini:steps=1,fidelity=1"]),
        protocol=choose_protocol("zido", crop=None, degradations=["clean"], scale=None, seed=0),
        device="cpu",
        runs=3,
    )
    bicubic, sampled, coarse = (result.score.values for result in evaluation.run([str(tmp_path)]))
    assert math.isnan(bicubic["l_std"])
    assert math.isnan(bicubic["g_std"])
    assert sampled["l_std"] > 0
    assert sampled["g_std"] > 0
    assert coarse["l_std"] == 0  # nothing is left to chance
    assert any(table.title.endswith("difference from seed to seed") for table in tables_of(evaluation))
