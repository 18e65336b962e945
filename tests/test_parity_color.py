import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zido_core.color import adain, low_frequency, wavelet

PARITY = Path(os.environ.get("ZIDO_PARITY_DIR", Path(__file__).parents[2] / "shared" / "parity" / "visible"))
FILES = sorted(PARITY.glob("color_fix*.json"))
CASES = [
    (file, case)
    for file in FILES
    for case in sorted({name.split(".")[0] for name in json.loads(file.read_text())["io_tensors"]})
]
METHODS = {"adain": adain, "wavelet": wavelet}


def test_there_are_golden_tensors():
    if not CASES:
        pytest.skip(f"no color_fix*.json in {PARITY}; set ZIDO_PARITY_DIR")


@pytest.mark.parametrize(("file", "case"), CASES, ids=[f"{file.stem}-{case}" for file, case in CASES])
class TestGolden:
    @pytest.fixture
    def tensors(self, file: Path, case: str) -> dict[str, torch.Tensor]:
        stored = load_file(file.with_name(f"{file.stem}.io.safetensors"))
        return {name.removeprefix(f"{case}."): t for name, t in stored.items() if name.startswith(f"{case}.")}

    @pytest.fixture
    def images(self, tensors) -> dict[str, torch.Tensor]:
        return {name: tensors[f"in.{name}_u8"].permute(2, 0, 1).float()[None] / 255 for name in ("content", "style")}

    @pytest.mark.parametrize("method", METHODS)
    def test_floats(self, tensors, images, method):
        result = METHODS[method](images["content"], images["style"])
        torch.testing.assert_close(result, tensors[f"out.{method}_float"], rtol=0, atol=2e-6)

    @pytest.mark.parametrize("method", METHODS)
    def test_bytes(self, tensors, images, method):
        scaled = METHODS[method](images["content"], images["style"])[0].clamp(0, 1).permute(1, 2, 0) * 255
        difference = scaled.to(torch.uint8).int() - tensors[f"out.{method}_u8"].int()
        on_a_boundary = (scaled - scaled.round()).abs() < 1e-3
        assert difference[~on_a_boundary].abs().max() == 0
        assert difference.abs().max() <= 1

    def test_frequencies(self, tensors, images):
        low = low_frequency(images["content"])
        torch.testing.assert_close(low, tensors["out.content_low_frequency"], rtol=0, atol=2e-6)
        torch.testing.assert_close(images["content"] - low, tensors["out.content_high_frequency"], rtol=0, atol=2e-6)
