"""The evaluation: methods and protocols by name, cases, scores, records, the command line."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zido_core import cli, cli_evaluate, upscale
from zido_core.errors import BadInput, InputNotFound, InvalidOptions
from zido_core.evaluate import learned, records, tables
from zido_core.evaluate.cases import Case, cases, given_input, read_truth, truths
from zido_core.evaluate.evaluation import Evaluation
from zido_core.evaluate.meter import measured
from zido_core.evaluate.methods import Loaded, parse_method, parse_methods
from zido_core.evaluate.mixed import mixed_cases
from zido_core.evaluate.protocols import STABLESR, ZIDO, choose_protocol
from zido_core.evaluate.scores import METRICS, Metric, against_truth, delta_e, scores_of
from zido_core.evaluate.tags import TagCounts, count_tags, histogram
from zido_core.options import Options
from zido_core.raster.reader import open_source
from zido_core.resample import resize
from zido_core.tiling.grid import Size, Tile
from zido_core.training.degrade import DEGRADATIONS, degrade

SMALL = choose_protocol("zido", crop=64)


@pytest.fixture
def photo_case(example_photo) -> Case:
    return next(cases("barn.png", example_photo, SMALL))


@pytest.fixture
def gappy_raster(make_raster, example_raster) -> Path:
    """64 x 64 of a real raster, a corner of which is missing."""
    with open_source(example_raster) as source:
        pixels = source.read(Tile(90, 90, 64, 64)).array.copy()
    pixels[:, :20, :30] = 0
    return make_raster(pixels, nodata=0, crs="EPSG:32737")


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["bicubic,lanczos,mini:fidelity=1,mini"], ["bicubic", "lanczos", "mini:fidelity=1", "mini"]),
        (["mini:prompts=none,steps=8,bicubic"], ["mini:prompts=none,steps=8", "bicubic"]),
        (["bicubic", "mini:stretch=percentile:2,98,seed=3"], ["bicubic", "mini:stretch=percentile:2,98,seed=3"]),
        (["mini:bands=3,2,1 , bicubic, bicubic"], ["mini:bands=3,2,1", "bicubic"]),
    ],
)
def test_commas_part_methods_and_their_options(texts, labels):
    assert [spec.label for spec in parse_methods(texts)] == labels


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("mini", {}),
        ("mini:fidelity=1,tile-size=256", {"fidelity": 1.0, "tile_size": 256}),
        ("mini:bands=3,2,1", {"bands": (3, 2, 1)}),
        ("mini:stretch=range:0,3000", {"stretch": "range:0,3000"}),
        ("zido:prompts=global,guidance_scale=7", {"model": "zido", "prompts": "global", "guidance_scale": 7.0}),
    ],
)
def test_options_of_a_method_are_those_of_a_run(text, options):
    made = parse_method(text).to_options(seed=5)
    assert made == Options.from_dict({"seed": 5} | options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bicubid", "no method 'bicubid'; choose among bicubic, lanczos, mini"),
        ("bicubic:steps=3", "bicubic has no options"),
        ("mini:steps", "expected OPTION=VALUE after the colon, got 'steps'"),
        ("mini:stepz=3", "did you mean 'steps'"),
        ("mini:steps=many", "steps is many; expected a whole number"),
        ("mini:scale=2", "scale is not an option of a method"),
        ("mini:overwrite=true", "overwrite is not an option of a method"),
        ("", "no method is given"),
    ],
)
def test_wrong_methods_are_explained(text, message):
    with pytest.raises(InvalidOptions, match=message):
        parse_methods([text])


@pytest.mark.parametrize(
    ("protocol", "size", "window"),
    [
        (ZIDO, (510, 771), (0, 0, 508, 768)),
        (STABLESR, (512, 768), (0, 128, 512, 512)),
        (STABLESR, (1000, 523), (244, 4, 512, 512)),
        (choose_protocol("zido", scale=3), (10, 11), (0, 0, 9, 9)),
    ],
)
def test_window(protocol, size, window):
    assert protocol.window(Size(*size), "a.png") == Tile(*window)


def test_protocols_of_the_papers():
    assert (ZIDO.crop, ZIDO.channel, ZIDO.degradations, ZIDO.scale) == (None, "rgb", ("clean",), 4)
    assert (STABLESR.crop, STABLESR.channel, STABLESR.scale) == (512, "y", 4)
    assert "changed" not in choose_protocol("stablesr", crop=512).title
    assert choose_protocol("stablesr", crop=256).title.endswith("(changed: crop)")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "zidoo"}, "choose one of zido, stablesr"),
        ({"crop": 66}, "crop is 66; expected a multiple of the scale, 4"),
        ({"scale": 9}, "scale is 9"),
        ({"degradations": ["clear"]}, "did you mean 'clean'"),
    ],
)
def test_wrong_protocols_are_explained(given, message):
    with pytest.raises(InvalidOptions, match=message):
        choose_protocol(**{"name": "zido"} | given)


def test_shaved_borders_do_not_count(example_photo):
    counted = {}
    for name in ("zido", "classical"):
        (case,) = cases("barn.png", example_photo, choose_protocol(name))
        image = case.truth.image.copy()
        image[:, :4] = 1 - image[:, :4]
        image[:, :, -4:] = 1 - image[:, :, -4:]
        counted[name] = against_truth(image, case)
    assert counted["classical"]["psnr_y"] == np.inf
    assert counted["zido"]["psnr_y"] < 30


def test_images_too_small_for_a_protocol_are_refused(example_photo):
    with pytest.raises(BadInput, match=r"barn.png has 192 x 256 pixels; expected 512 x 512 or more"):
        read_truth("barn.png", example_photo, STABLESR)


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_inputs_are_made_by_the_degradations_of_the_training(example_photo, degradation):
    protocol = choose_protocol("zido", crop=64, degradations=[degradation])
    (case,) = cases("barn.png", example_photo, protocol)
    (again,) = cases("barn.png", example_photo, protocol)
    whole = np.asarray(Image.open(example_photo))[64:128, 96:160].astype(np.float32) / np.float32(255)
    expected = degrade(whole, degradation, protocol.random("barn.png", degradation))
    np.testing.assert_allclose(case.truth.image, whole.transpose(2, 0, 1), rtol=1e-6)
    np.testing.assert_array_equal(case.numbers, np.rint(expected.transpose(2, 0, 1) * 255))
    np.testing.assert_array_equal(case.numbers, again.numbers)
    assert case.numbers.dtype == np.uint8


class TestMixedScenes:
    """Four images share a scene, each degraded another way."""

    @pytest.fixture
    def four(self, tmp_path) -> list[tuple[str, Path]]:
        rng = np.random.default_rng(3)
        for name in "abcde":
            side = 20 if name == "e" else 64
            Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(tmp_path / f"{name}.png")
        return truths([str(tmp_path)])

    def test_every_image_is_once_in_every_quadrant(self, four):
        failed = []
        protocol = choose_protocol("zido", crop=64, mixed=True)
        found = mixed_cases(four, protocol, lambda name, error: failed.append(name))
        assert failed == ["e.png"]
        assert [case.truth.name for case in found] == [
            " + ".join(f"{name}.png" for name in names) for names in ("abcd", "bcda", "cdab", "dabc")
        ]
        truth, quarter = read_truth(*four[2], choose_protocol("zido", crop=32)), found[0]
        np.testing.assert_array_equal(quarter.truth.image[:, 32:, :32], truth.image)
        expected = degrade(truth.image.transpose(1, 2, 0), "medium", protocol.random("c.png", "medium"))
        np.testing.assert_array_equal(quarter.numbers[:, 8:, :8], np.rint(expected.transpose(2, 0, 1) * 255))
        assert quarter.numbers.dtype == np.uint8

    @pytest.mark.parametrize(
        ("crop", "count", "message"),
        [(None, 5, "give --crop 384"), (44, 5, "a multiple of 8"), (64, 3, "3 images can be used; .* needs 4")],
    )
    def test_what_cannot_be_mixed_is_explained(self, four, crop, count, message):
        protocol = choose_protocol("zido", crop=crop, mixed=True)
        with pytest.raises((InvalidOptions, BadInput), match=message):
            mixed_cases(four[:count], protocol, lambda name, error: None)

    def test_from_the_command_line(self, four, capsys):
        folder = str(four[0][1].parent)
        assert cli.execute(["evaluate", folder, "--mixed", "--crop", "64", "-m", "bicubic,lanczos", "-q"]) == 3
        printed = capsys.readouterr()
        assert "mixed, 4 images" in printed.out
        assert "e.png" in printed.err
        assert cli.execute(["evaluate", folder, "--mixed", "--lr", folder]) == InvalidOptions.exit_code
        assert "leave --degradation and --lr out" in capsys.readouterr().err


def test_noise_belongs_to_the_image_the_degradation_and_the_seed():
    draws = [
        SMALL.random("a", "light"),
        SMALL.random("b", "light"),
        SMALL.random("a", "heavy"),
        replace(SMALL, seed=1).random("a", "light"),
    ]
    assert len({generator.random() for generator in draws}) == 4


def test_wide_numbers_keep_their_precision_where_nothing_but_the_size_changes(make_raster):
    path = make_raster(shape=(1, 32, 32), dtype="uint16")
    (case,) = cases("a.tif", path, ZIDO)
    assert case.truth.kind == "raster"
    assert case.truth.image.shape == (1, 32, 32)
    levels = case.image * 255
    assert np.abs(levels - np.rint(levels)).max() > 0.1


def test_gaps_of_a_raster_stay_gaps(gappy_raster, tmp_path):
    (case,) = cases("a.tif", gappy_raster, ZIDO)
    assert not case.valid[:5, :8].any()
    assert case.valid[5:, 8:].all()
    assert not case.known[:20, :32].any()
    assert case.known[20:].all()
    given = case.given(tmp_path)
    with open_source(given) as source:
        raster = source.read()
        assert source.info.kind == "raster"
    np.testing.assert_array_equal(raster.valid, case.valid)
    np.testing.assert_array_equal(raster.array[:, case.valid], case.numbers[:, case.valid])


def test_a_photograph_is_handed_over_as_an_array(photo_case, tmp_path):
    given = photo_case.given(tmp_path)
    assert (given.shape, given.dtype) == ((16, 16, 3), np.uint8)


@pytest.mark.parametrize("name", ["a.png", "ax4.jpg", "a_x4.tif"])
def test_given_inputs_are_found_by_name(tmp_path, name):
    (tmp_path / name).touch()
    assert given_input(tmp_path, Path("hr/a.png"), 4) == tmp_path / name


def test_given_inputs_are_cut_with_their_truth(example_photo, tmp_path):
    picture = Image.open(example_photo)
    picture.resize((64, 48), Image.Resampling.BOX).save(tmp_path / "barnx4.png")
    (case,) = cases("barn.png", example_photo, SMALL, tmp_path)
    small = np.asarray(Image.open(tmp_path / "barnx4.png"))[16:32, 24:40]
    assert case.degradation == "given"
    np.testing.assert_array_equal(case.numbers, small.transpose(2, 0, 1))


def test_given_inputs_that_do_not_fit_are_refused(example_photo, tmp_path):
    with pytest.raises(InputNotFound, match=r"no input for barn.png in .*expected barn or barnx4"):
        list(cases("barn.png", example_photo, SMALL, tmp_path))
    Image.open(example_photo).save(tmp_path / "barn.png")
    with pytest.raises(BadInput, match=r"barn.png is 192 x 256 uint8; expected 48 x 64 uint8"):
        list(cases("barn.png", example_photo, SMALL, tmp_path))


def test_folders_are_searched_to_the_bottom(tmp_path):
    for name in ("b.png", "deep/a.tif", ".hidden/c.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [name for name, _ in truths([str(tmp_path)])] == ["b.png", "deep/a.tif"]
    assert [name for name, _ in truths([str(tmp_path)], limit=1)] == ["b.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputNotFound, match="no picture or raster"):
        truths([str(tmp_path / "empty")])


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos"])
def test_interpolation_is_rounded_to_the_numbers_of_the_file(photo_case, kernel):
    made = Loaded(scale=4, seed=0).method(parse_method(kernel)).enlarge(photo_case)
    expected = np.clip(np.rint(resize(photo_case.image, Size(64, 64), kernel) * 255), 0, 255)
    np.testing.assert_allclose(made.image * 255, expected, atol=1e-4)


def test_a_model_gives_what_upscale_gives(photo_case, gappy_raster, tmp_path):
    loaded = Loaded(scale=4, seed=0)
    certain, sampled = (loaded.method(parse_method(text)) for text in ("mini:fidelity=1", "mini:steps=1"))
    assert certain.upscaler is sampled.upscaler
    direct = upscale(photo_case.given(tmp_path), fidelity=1).image
    np.testing.assert_allclose(
        certain.enlarge(photo_case).image * 255, np.asarray(direct).transpose(2, 0, 1), atol=1e-4
    )
    (case,) = cases("a.tif", gappy_raster, ZIDO)
    made = certain.enlarge(case)
    assert made.image.shape == (3, 64, 64)
    assert scores_of(made.image, case)["reflectance"] < 0.002  # a raster: the pipeline keeps the means
    assert loaded.weights.keys() == {"mini"}


def test_scores_of_the_truth_are_perfect(photo_case):
    perfect = {"psnr": math.inf, "ssim": 1, "haarpsi": 1, "gmsd": 0, "spectrum": 0, "delta_e": 0, "colour_shift": 0}
    found = scores_of(photo_case.truth.image, photo_case)
    assert {name: found[name] for name in perfect} == pytest.approx(perfect, abs=1e-5)
    assert found.keys() == METRICS.keys() - {"seconds", "megabytes", "seam_ratio", "g_std", "l_std"}
    assert found["improvement"] + found["omission"] + found["hallucination"] == pytest.approx(1)


def test_only_what_is_known_is_scored(gappy_raster):
    (case,) = cases("a.tif", gappy_raster, ZIDO)
    image = np.clip(case.truth.image + np.random.default_rng(0).normal(0, 0.05, case.truth.image.shape), 0, 1)
    damaged = np.where(case.known, image, 1 - image)
    first, second = (scores_of(each.astype(np.float32), case) for each in (image, damaged))
    against_input = {"reflectance", "spectral_angle", "shift"}
    assert {k: v for k, v in first.items() if k not in against_input} == pytest.approx(
        {k: v for k, v in second.items() if k not in against_input}, nan_ok=True
    )


def test_colour_difference_of_known_colours():
    white, gray = np.ones((3, 4, 4), np.float32), np.full((3, 4, 4), 0.46633, np.float32)  # L* 100 and 50
    assert delta_e(white, gray, np.ones((4, 4), bool)) == pytest.approx(50, abs=0.05)
    assert delta_e(white[:1], gray[:1], np.ones((4, 4), bool)) == pytest.approx(50, abs=0.05)


@pytest.mark.parametrize(
    ("best", "first", "second", "wins"),
    [("high", 2, 1, True), ("low", 2, 1, False), ("one", 0.9, 1.2, True), ("one", 1.3, 0.8, False)],
)
def test_better(best, first, second, wins):
    assert Metric(name="a", label="A", best=best).better(first, second) is wins


@pytest.fixture
def evaluation(example_photo, example_raster, tmp_path) -> Evaluation:
    """Two images by three methods; a third one is damaged."""
    (tmp_path / "broken.png").write_bytes(b"no picture")
    done = Evaluation(methods=parse_methods(["bicubic,lanczos,mini:fidelity=1"]), protocol=SMALL, device="cpu")
    results = list(done.run([str(example_photo), str(tmp_path / "broken.png"), str(example_raster)]))
    assert [result.score for result in results] == done.scores
    return done


def test_evaluation(evaluation):
    labels = ["bicubic", "lanczos", "mini:fidelity=1"]
    assert [(s.image, s.method) for s in evaluation.scores] == [
        (image, label) for image in ("barn.png", "houses.tif") for label in labels
    ]
    assert [failure.image for failure in evaluation.failures] == ["broken.png"]
    first, second = (score.values["psnr"] for score in evaluation.of("clean", "lanczos"))
    reference, other = (score.values["psnr"] for score in evaluation.of("clean", "bicubic"))
    assert evaluation.means("clean", "lanczos")["psnr"] == pytest.approx((first + second) / 2)
    assert evaluation.gain("clean", "lanczos", "psnr") == pytest.approx((first + second - reference - other) / 2)
    assert evaluation.wins("clean", "lanczos", "psnr") == ((first > reference) + (second > other), 2)
    assert all(score.values["megabytes"] > 0 for score in evaluation.scores)


def test_records(evaluation):
    made = records.provenance("zido evaluate a.png", "cpu")
    record = json.loads(records.as_json(evaluation, made))
    assert record["command"] == "zido evaluate a.png"
    assert record["weights_sha256"]["mini"] == evaluation.weights["mini"]
    assert len(record["images"]) == 6
    assert record["images"][0]["ms_ssim"] is None  # 64 pixels are too few for five scales
    assert record["failures"][0]["image"] == "broken.png"
    rows = list(csv.DictReader(io.StringIO(records.as_csv(evaluation))))
    assert len(rows) == 6
    assert float(rows[2]["psnr"]) == pytest.approx(evaluation.scores[2].values["psnr"], rel=1e-5)
    assert rows[0]["ms_ssim"] == ""
    page = records.as_markdown(evaluation, made)
    for words in ("`zido evaluate a.png`", made["date"], evaluation.weights["mini"], "| mini:fidelity=1 |"):
        assert words in page
    assert "1 could not be measured: broken.png" in page
    assert "MS-SSIM" not in page


def test_tables_show_the_channel_of_the_protocol(evaluation):
    for channel, shown, hidden in (("rgb", "PSNR ↑", "PSNR Y ↑"), ("y", "PSNR Y ↑", "PSNR ↑")):
        evaluation.protocol = replace(SMALL, channel=channel)
        headings = [heading for table in tables.tables_of(evaluation) for heading in table.headings]
        assert shown in headings
        assert hidden not in headings


def test_table():
    table = tables.Table(title="t", headings=["Method", "PSNR"], rows=[["a|b", "1.00"], ["c", "12.00"]])
    assert table.as_text().splitlines() == ["t", "Method   PSNR", "a|b      1.00", "c       12.00"]
    assert table.as_markdown().splitlines()[-2:] == ["| a\\|b | 1.00 |", "| c | 12.00 |"]


def test_tags_of_tiles_are_counted_against_those_of_the_whole(example_photo):
    (case,) = cases("barn.png", example_photo, ZIDO)
    counts = count_tags(case, Options(tile_size=64, tile_overlap=0))
    assert counts.tiles == 12
    assert counts.local > counts.whole >= counts.common > 0


def test_histogram_has_a_bar_for_every_number():
    counts = [
        TagCounts(image="a", degradation="clean", tiles=4, local=local, whole=whole, common=1)
        for local, whole in ((30, 5), (41, 5), (30, 9))
    ]
    picture = np.asarray(histogram(counts))
    for colour in ((214, 138, 58), (52, 112, 168)):
        below = (picture[60:] == colour).all(-1)
        starts = np.diff(below.any(0).astype(int)) == 1
        assert starts.sum() == 2


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak can be reset on Linux only")
def test_memory_is_that_of_the_work():
    with measured() as before:
        pass
    with measured() as during:
        np.ones(10_000_000).sum()
    with measured() as after:
        pass
    assert during.megabytes - before.megabytes > 60
    assert during.megabytes - after.megabytes > 60


class Constant:
    """A metric of torchmetrics, as far as it is used: the number of images it was given."""

    def __init__(self, **arguments):
        self.arguments, self.seen = arguments, 0

    def to(self, device):
        return self

    def __call__(self, *images):
        assert all(image.shape[:2] == (1, 3) for image in images)
        return torch.tensor(float(len(images)))

    def update(self, image, real):
        self.seen += 1

    def compute(self):
        return torch.tensor(float(self.seen))


@pytest.fixture
def torchmetrics(monkeypatch, tmp_path):
    """A torchmetrics that has LPIPS and FID; their weights and packages are not here yet."""
    for name, member in (("lpip", "LearnedPerceptualImagePatchSimilarity"), ("fid", "FrechetInceptionDistance")):
        monkeypatch.setitem(sys.modules, f"torchmetrics.image.{name}", types.SimpleNamespace(**{member: Constant}))
    monkeypatch.setattr(learned.importlib.util, "find_spec", lambda name: None if name == "piq" else True)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_networks_without_weights_are_skipped(torchmetrics):
    found = learned.load_available()
    assert not found.scorers
    assert found.skipped["LPIPS"] == f"its weights are not here ({torchmetrics / 'alexnet-owt-7be5be79.pth'})"
    assert found.skipped["CLIPIQA"] == "package piq is not installed"
    assert found.skipped["MUSIQ"] == found.skipped["MANIQA"] == "torchmetrics does not have it"


def test_networks_that_do_not_load_are_skipped(torchmetrics, monkeypatch):
    (torchmetrics / learned.LEARNED[0].weights[0]).touch()
    monkeypatch.setattr(Constant, "to", lambda self, device: {}["no such layer"])
    found = learned.load_available()
    assert not found.scorers
    assert found.skipped["LPIPS"] == "torchmetrics cannot load it (KeyError: 'no such layer')"


def test_networks_with_weights_are_used(torchmetrics, example_photo):
    for entry in learned.LEARNED[:2]:
        (torchmetrics / entry.weights[0]).touch()
    done = Evaluation(methods=parse_methods(["bicubic,lanczos"]), protocol=SMALL, device="cpu")
    list(done.run([str(example_photo)]))
    assert done.means("clean", "bicubic")["lpips"] == 2
    assert done.means("clean", "bicubic")["fid"] == 2
    assert list(done.metrics)[4:6] == ["lpips", "fid"]
    headings = next(tables.tables_of(done)).headings
    assert list(headings[:4]) == ["Method", "PSNR ↑", "SSIM ↑", "LPIPS ↓"]


def test_command_line(example_photo, tmp_path, capsys):
    files = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv", "md", "png")}
    arguments = [
        "evaluate", str(example_photo), "-m", "bicubic,mini:fidelity=1", "--crop", "64", "--device", "cpu",
        "--degradation", "clean,heavy", "--json", str(files["json"]), "--csv", str(files["csv"]),
        "--markdown", str(files["md"]), "--histogram", str(files["png"]), "--save", str(tmp_path / "results"),
    ]  # fmt: skip
    assert cli.execute(arguments) == 0
    out, err = capsys.readouterr()
    assert "heavy, 1 image: likeness to the truth" in out
    assert "Not measured: " in out
    assert len(err.splitlines()) == 4
    assert {len(json.loads(files["json"].read_text())[part]) for part in ("images", "means")} == {4}
    assert "unique tags" in files["md"].read_text()
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    saved = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert saved[0] == "barn__clean__bicubic.png"
    assert len(saved) == 4
    assert not list(tmp_path.glob(".*"))
    assert cli.execute(arguments) == 73
    assert f"{files['json']} exists; give --overwrite" in capsys.readouterr().err


def test_json_may_go_to_stdout(example_photo, capsys):
    assert cli.execute(["evaluate", str(example_photo), "-m", "lanczos", "--crop", "64", "--json", "-", "-q"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["methods"][0]["label"] == "lanczos"
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-m", "mimi"], 2, "there is no method 'mimi'"),
        (["--degradation", "dirty"], 2, "there is no degradation 'dirty'"),
        (["--protocol", "stablesr", "-m", "bicubic"], 65, "expected 512 x 512 or more"),
        (["--json", "/nowhere/a.json"], 73, "cannot write /nowhere/a.json"),
    ],
)
def test_what_cannot_be_done_is_said(example_photo, capsys, arguments, code, message):
    assert cli.execute(["evaluate", str(example_photo), *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err.splitlines()[-1]


def test_some_images_failing_is_code_3(example_photo, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    code = cli.execute(
        ["evaluate", str(example_photo), str(tmp_path / "broken.png"), "-m", "bicubic", "--crop", "64", "-q"]
    )
    out, err = capsys.readouterr()
    assert code == 3
    assert "clean, 1 image" in out
    assert err.startswith("zido: warning: broken.png is not an image that zido reads")


def test_what_is_done_is_kept_when_somebody_stops_it(example_photo, tmp_path, monkeypatch, capsys):
    """Ctrl-C during the second image: the first one's scores are written."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "save_result", interrupted)
    target = tmp_path / "out.json"
    wanted = ["--crop", "64", "--save", str(tmp_path), "--json", str(target)]
    assert cli.execute(["evaluate", str(example_photo), "-m", "bicubic", *wanted]) == 130
    assert len(json.loads(target.read_text())["images"]) == 1
    assert "clean, 1 image" in capsys.readouterr().out


def test_the_command_is_recorded_as_it_was_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/lib/zido_core/__main__.py", "evaluate", "my photos", "-m", "bicubic"])
    assert cli_evaluate._command() == "python -m zido_core evaluate 'my photos' -m bicubic"
